"""
The landscape of work that members and jobs live in, read from the real texts: which occupation a
posting is, how near two occupations are, and which skills an occupation needs.

    landscape = survey(esco, postings)

Nothing here is random: equal postings give an equal landscape.

Shapes: P postings, O occupations found among them, W skills, K width of the latent space.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from star_features.market.sources import Entry, Esco, Posting
from star_features.spaces import unit

WIDTH = 48
POOL = 24
LABEL_WEIGHT = 3
ROWS_AT_ONCE = 2048
MEANT = {  # what postings write, and what ESCO calls it or does not know
    "ai|ml|artificial intelligence": "machine learning data scientist",
    "account executive|account exec": "sales account manager",
    "business development representative|sales development representative|sdr|bdr": "sales agent",
    "engineering manager": "software manager",
    "recruiter|recruiting|talent": "recruitment consultant",
    "enterprise|public|sector|strategic|growth|global|senior|staff|principal|sr|junior": " ",
    "partner|platform|infrastructure|internal|real time|future|team|future opportunities": " ",
}


@dataclass(frozen=True)
class Landscape:
    """What the texts say about work.

    Attributes:
        occupations: O ESCO occupations, those that at least one posting is nearest to.
        skills: W ESCO skills whose label reads well.
        occupation_P: for each posting the index of its occupation.
        vectors_OK: unit vectors of the occupations in the latent space.
        titles_PK: unit vectors of the postings' own titles (zero where no word is known).
        likeness_OO: cosine between occupations.
        pool_OS: for each occupation its POOL nearest skills, nearest first.
    """

    occupations: tuple[Entry, ...]
    skills: tuple[Entry, ...]
    occupation_P: NDArray[np.int32]
    vectors_OK: NDArray[np.float32]
    titles_PK: NDArray[np.float32]
    likeness_OO: NDArray[np.float32]
    pool_OS: NDArray[np.int32]


def survey(esco: Esco, postings: tuple[Posting, ...]) -> Landscape:
    """Match postings to occupations and occupations to skills, by TF-IDF over their texts."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    skills = tuple(entry for entry in esco.skills if reads_well(entry.label))
    occupation_texts = [
        f"{(entry.label + ' ') * LABEL_WEIGHT}{entry.text}" for entry in esco.occupations
    ]
    tfidf = TfidfVectorizer(stop_words="english", sublinear_tf=True, min_df=2, dtype=np.float32)
    words_O = tfidf.fit_transform(occupation_texts)
    words_P = tfidf.transform([work_words(post) for post in postings])
    nearest_P = top(words_P, words_O, 1)[:, 0]

    found_O, occupation_P = np.unique(nearest_P, return_inverse=True)
    words_W = tfidf.transform([entry.text for entry in skills])
    latent = TruncatedSVD(WIDTH, n_iter=3, random_state=0).fit(words_O)
    vectors_OK = unit(latent.transform(words_O[found_O]).astype(np.float32))
    return Landscape(
        occupations=tuple(esco.occupations[row] for row in found_O),
        skills=skills,
        occupation_P=occupation_P.astype(np.int32),
        vectors_OK=vectors_OK,
        titles_PK=unit(latent.transform(words_P).astype(np.float32)),
        likeness_OO=vectors_OK @ vectors_OK.T,
        pool_OS=top(words_O[found_O], words_W, POOL),
    )


def work_words(post: Posting) -> str:
    """The words of a posting that say what work it is, the head of its title counted double.

    What follows a comma or a dash is mostly a team or a place. Without the spelt-out forms, AI
    meets ESCO's artificial insemination.
    """
    head = re.split(r"[,(|–]| - ", post.title)[0]
    category = "" if post.category == "other" else post.category.replace("-", " ")
    text = f"{head} {head} {post.title} {post.department} {category}".lower()
    for words, meant in MEANT.items():
        text = re.sub(rf"\b{words}\b", meant, text)
    return text


def reads_well(label: str) -> bool:
    """Two to five words, or one proper name: what a person would write into a profile."""
    size = len(label.split())
    return 2 <= size <= 5 or (size == 1 and label[:1].isupper())


def top(left: object, right: object, count: int) -> NDArray[np.int32]:
    """For each row of sparse `left` the `count` rows of sparse `right` most like it, best first."""
    from scipy.sparse import csr_matrix

    left_m, right_m = csr_matrix(left), csr_matrix(right)
    found = []
    for start in range(0, left_m.shape[0], ROWS_AT_ONCE):
        scores = -(left_m[start : start + ROWS_AT_ONCE] @ right_m.T).toarray()
        found.append(np.argsort(scores, axis=1, kind="stable")[:, :count].astype(np.int32))
    return np.concatenate(found)
