"""
MELO: job titles of one taxonomy are to find the names of the same work in another one.

    task = read_melo(Path("melo_en"))
    task.score(query_vectors_QD, corpus_vectors_CD)      # {"map": .., "mrr": .., "recall_10": ..}

A query is right with every surface form of its concept, and each of them counts, as in the
published rows. Ties never flatter: of equal scores the wrong ones come first.

Shapes: Q queries, C corpus elements, B queries of a block, D width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from star_features.errors import DataError

PUBLISHED: Mapping[str, tuple[float, float | None]] = {
    "E5-Mistral-7B": (0.4735, 0.6735),
    "a commercial embedding": (0.4640, 0.6842),
    "mE5-large": (0.3760, None),
    "bge-m3": (0.3264, None),
    "BM25 on lemmas": (0.2314, 0.6004),
    "ESCOXLM-R": (0.1352, 0.3450),
}
"""MAP and MRR of the English task, O*NET titles to English ESCO; none where it was not given."""
FILES = ("queries.tsv", "corpus_elements.tsv", "annotations.tsv")
RECALL = (10, 100)
BLOCK = 64


@dataclass(frozen=True)
class Melo:
    """The task.

    Attributes:
        queries: Q texts.
        corpus: C texts; some of them twice, under two concepts.
        right: by query, the rows of the corpus that it should find.
    """

    queries: tuple[str, ...]
    corpus: tuple[str, ...]
    right: tuple[NDArray[np.int64], ...]

    def score(
        self, queries_QD: NDArray[np.float32], corpus_CD: NDArray[np.float32]
    ) -> dict[str, float]:
        """Figures of the order by dot product, mean over queries."""
        found = [
            figures(scores_C, right)
            for start in range(0, len(self.queries), BLOCK)
            for scores_C, right in zip(
                queries_QD[start : start + BLOCK] @ corpus_CD.T,
                self.right[start : start + BLOCK],
                strict=True,
            )
        ]
        return {name: float(np.mean([row[name] for row in found])) for name in found[0]}


def figures(scores_C: NDArray[np.float32], right: NDArray[np.int64]) -> dict[str, float]:
    """Of one query: average precision, one over the rank of the first hit, recall at RECALL."""
    is_right_C = np.zeros(len(scores_C), dtype=np.bool_)
    is_right_C[right] = True
    order_C = np.lexsort((is_right_C, -scores_C))
    ranks = np.flatnonzero(is_right_C[order_C]) + 1.0
    hits = np.arange(1, len(ranks) + 1)
    recalls = {f"recall_{k}": float((ranks <= k).mean()) for k in RECALL}
    return {"map": float((hits / ranks).mean()), "mrr": float(1 / ranks[0]), **recalls}


def read_melo(folder: Path) -> Melo:
    """Read the three files that the task consists of.

    Raises:
        DataError: one of them is missing, or a judgement names what is not there.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise DataError(folder / name, "there is no such file", f"Wanted {', '.join(FILES)}.")
    queries, corpus, judged = (_rows(folder / name) for name in FILES)
    row_of = {row[0]: number for number, row in enumerate(corpus)}
    right: dict[str, list[int]] = {row[0]: [] for row in queries}
    for number, (query, _, element, relevance) in enumerate(judged, start=1):
        if query not in right or element not in row_of:
            raise DataError(
                folder / FILES[2],
                f"line {number} judges {query} and {element}",
                "Wanted a query of queries.tsv and an element of corpus_elements.tsv.",
            )
        if int(relevance):
            right[query].append(row_of[element])
    asked = [row for row in queries if right[row[0]]]
    return Melo(
        tuple(row[1] for row in asked),
        tuple(row[1] for row in corpus),
        tuple(np.array(right[row[0]], dtype=np.int64) for row in asked),
    )


def _rows(file: Path) -> list[list[str]]:
    return [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines() if line]
