"""
Spaces: which vectors may be compared with which.

A *space* is a signal at a version (`job_graph_v1`): a width, a metric and the full identity of
what made it. Its id is its name and a digest of that identity (`job_graph_v1@3f9a1c20b7d4`) and
stands beside every vector: in memory, in Parquet, in the online store, in a training set.

Shapes: N items, D width of the space.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from star_features.errors import DataError, SpaceMismatch, UsageError

NAME = re.compile(r"^(?P<entity>[a-z]+)_(?P<kind>[a-z]+)_v(?P<version>\d+)$")


@dataclass(frozen=True)
class Space:
    """One signal at one version.

    `identity` is everything that changes the meaning of a coordinate: base model and its
    SHA-256, adapter, prompt, pooling, maximum tokens, normalisation, training run, seed.
    """

    name: str
    width: int
    identity: Mapping[str, Any] = field(default_factory=dict)
    metric: str = "cosine"

    def __post_init__(self) -> None:
        if not NAME.match(self.name):
            raise UsageError(
                f"{self.name!r} is no space name; wanted ENTITY_KIND_vN, such as job_graph_v2"
            )

    @property
    def entity(self) -> str:
        """The Feast entity this space describes: `member` or `job`."""
        return self.name.split("_")[0]

    @property
    def signal(self) -> str:
        """The kind of embedding, without its version: `job_graph`."""
        return self.name.rsplit("_", 1)[0]

    @property
    def id(self) -> str:
        """Name and digest of the identity: equal ids mean comparable vectors."""
        return f"{self.name}@{digest(dict(self.identity) | {'width': self.width}, 12)}"


@dataclass(frozen=True)
class VectorTable:
    """Vectors of one space, by entity id.

    Attributes:
        space: the space id (`job_text_v1@…`) that every row lives in.
        ids: N entity ids, unique.
        vectors_ND: float32, N × D.
    """

    space: str
    ids: NDArray[np.str_]
    vectors_ND: NDArray[np.float32]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.vectors_ND):
            raise DataError(
                self.space,
                f"{len(self.ids)} ids and {len(self.vectors_ND)} vectors",
                "Wanted one vector for each id.",
            )

    def __len__(self) -> int:
        return len(self.ids)

    def require(self, space: str) -> "VectorTable":
        """Return self if it lives in `space`; raise SpaceMismatch otherwise."""
        if self.space != space:
            raise SpaceMismatch(got=self.space, wanted=space)
        return self

    def aligned_to(self, ids: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Vectors in the order of `ids` (zeros where absent), and which of them are present."""
        row_of = {key: row for row, key in enumerate(self.ids.tolist())}
        rows = np.fromiter((row_of.get(key, -1) for key in ids), dtype=np.int64, count=len(ids))
        present = rows >= 0
        out = np.zeros((len(ids), self.vectors_ND.shape[1]), dtype=np.float32)
        out[present] = self.vectors_ND[rows[present]]
        return out, present


def unit(vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to unit length, as every served vector is; zero rows stay zero."""
    norms = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    out = np.zeros_like(vectors_ND)
    np.divide(vectors_ND, norms, out=out, where=norms > 0)
    return out


def digest(value: object, length: int = 64) -> str:
    """SHA-256 of a JSON-able value, independent of key order, cut to `length` hex digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
