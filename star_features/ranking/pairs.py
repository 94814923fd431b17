"""
Pair features: from the columns that Feast joins for a member and a job to one matrix.

    schema = learn_schema(frame, groups=("categorical", "text", "graph"))
    found = pair_features(frame, schema)
    found.matrix_NF, found.names, found.missing

Columns are named as Feast names them, `SIDE_NAME__feature`:
`member_attributes__seniority`, `job_attributes__place`, `member_text__vector`, `job_star__space`.

- group `categorical`: each category as a number (see `columns.codes`), and a match flag for each
  column that both sides share. List columns are left to the graph.
- groups `text` and `graph` (stable name `star`): the cosine of the pair, NaN where either vector
  is missing, a presence flag, and, when asked for, the products of the first dimensions.

The member's columns may have one row while the job's have many: that is one member's read.

Shapes: N rows, F features, D width of a space.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from star_features.errors import DataError, SpaceMismatch, UsageError
from star_features.files import Settings
from star_features.ranking.columns import (
    Columns,
    codes,
    has_lists,
    matches,
    stack,
    texts,
    vocabulary,
)
from star_features.ranking.versions import require_pair, single_space

CATEGORICAL = re.compile(r"^(?P<side>member|job)_attributes__(?P<name>.+)$")
VECTOR = re.compile(r"^member_(?P<signal>[a-z]+)__vector$")
GROUP_OF = {"star": "graph"}
GROUPS = ("categorical", "text", "graph")
MOST_CATEGORIES = 254  # with OTHER 255, all that a histogram tells apart


class SignalSchema(Settings):
    """One signal: its stable name, and the spaces it was trained in."""

    name: str
    """The stable name without its side: `text`, `star`."""
    member_space: str | None
    """Space id of the member's vectors; None where training had not one."""
    job_space: str | None
    """Space id of the job's vectors; None where training had not one."""


class PairSchema(Settings):
    """Which features there are, in which order, and how they are coded."""

    groups: tuple[str, ...]
    """Column groups in use."""
    vocabularies: dict[str, tuple[str, ...]]
    """By column: the categories that have a code of their own."""
    shared: tuple[str, ...]
    """Categorical columns that both sides have."""
    signals: tuple[SignalSchema, ...]
    """Embeddings in use."""
    product_dims: int
    """How many leading dimensions give an elementwise product."""

    @property
    def names(self) -> list[str]:
        """Feature names, in the order of the matrix."""
        embedded = [
            name
            for signal in self.signals
            for name in (
                f"{signal.name}__cosine",
                f"{signal.name}__present",
                *(f"{signal.name}__product_{dim}" for dim in range(self.product_dims)),
            )
        ]
        return [*self.vocabularies, *(f"match__{name}" for name in self.shared), *embedded]

    @property
    def is_category(self) -> list[bool]:
        """Which features are codes, without an order."""
        return [name in self.vocabularies for name in self.names]


@dataclass(frozen=True)
class PairFeatures:
    """A matrix of pair features, and how many values of each column were missing."""

    matrix_NF: NDArray[np.float64]
    names: list[str]
    missing: Mapping[str, int]


def learn_schema(
    frame: pd.DataFrame,
    groups: Sequence[str] = GROUPS,
    product_dims: int = 0,
    most_categories: int = MOST_CATEGORIES,
) -> PairSchema:
    """Read vocabularies and spaces from a training set.

    Raises:
        UsageError: a group is none of GROUPS, or there is none.
        DataError: a group has no column in the frame.
        SpaceMismatch: a signal mixes spaces, or its two sides are of different versions.
    """
    if not groups or set(groups) - set(GROUPS):
        raise UsageError(f"groups {list(groups)}; wanted one or more of {list(GROUPS)}")
    columns = _columns(frame)
    categorical = _categorical(columns) if "categorical" in groups else []
    signals = [name for name in _signals(columns) if GROUP_OF.get(name, name) in groups]
    there = {GROUP_OF.get(name, name) for name in signals}
    if categorical:
        there.add("categorical")
    if absent := set(groups) - there:
        raise DataError(
            "training set", f"no column of {sorted(absent)}", f"It has: {list(frame.columns)}"
        )
    of_side = {
        side: {m["name"] for c in categorical if (m := CATEGORICAL.match(c)) and m["side"] == side}
        for side in ("member", "job")
    }
    spaces = {name: _spaces(columns, name) for name in signals}
    return PairSchema(
        groups=tuple(groups),
        vocabularies={c: vocabulary(texts(columns[c]), most_categories) for c in categorical},
        shared=tuple(sorted(of_side["member"] & of_side["job"])),
        signals=tuple(
            SignalSchema(name=name, member_space=member, job_space=job)
            for name, (member, job) in spaces.items()
        ),
        product_dims=product_dims,
    )


def pair_features(pairs: pd.DataFrame | Columns, schema: PairSchema) -> PairFeatures:
    """The matrix that `schema` describes, of a frame or of one member's read.

    Raises:
        DataError: a column is missing, or its length fits no other.
        SpaceMismatch: vectors live in other spaces than `schema` was learnt in.
    """
    columns = _columns(pairs)
    rows = _row_count(columns, schema)
    found: list[NDArray[np.float64]] = []
    missing: dict[str, int] = {}
    text_of = {name: texts(columns[name]) for name in schema.vocabularies}
    for name, known in schema.vocabularies.items():
        found.append(codes(text_of[name], known))
        missing[name] = sum(text is None for text in text_of[name])
    for name in schema.shared:
        both = (text_of[f"{side}_attributes__{name}"] for side in ("member", "job"))
        found.append(matches(*both))
    for signal in schema.signals:
        _require_spaces(columns, signal)
        found += _embedded(columns, signal.name, schema.product_dims, missing)
    matrix_FN = np.empty((len(found), rows))
    for feature, values in enumerate(found):
        matrix_FN[feature] = values
    return PairFeatures(matrix_FN.T, schema.names, missing)


def _embedded(
    columns: Columns, signal: str, product_dims: int, missing: dict[str, int]
) -> list[NDArray[np.float64]]:
    """Cosine, presence and products of one signal; counts what is missing in `missing`."""
    sides = []
    for side in ("member", "job"):
        name = f"{side}_{signal}__vector"
        vectors_ND, present_N = stack(columns[name], name)
        _require_named(columns, f"{side}_{signal}", present_N)
        missing[name] = int((~present_N).sum())
        sides.append((vectors_ND, present_N))
    (member_ND, has_member_N), (job_ND, has_job_N) = sides
    present_N = has_member_N & has_job_N
    if present_N.any() and member_ND.shape[1] != job_ND.shape[1]:
        raise DataError(
            f"signal {signal}",
            f"widths {member_ND.shape[1]} and {job_ND.shape[1]}",
            "Wanted one width: vectors of one pair are compared with each other.",
        )
    width = min(member_ND.shape[1], job_ND.shape[1])
    member_ND, job_ND = np.broadcast_arrays(member_ND[:, :width], job_ND[:, :width])
    cosine_N = np.einsum("nd,nd->n", member_ND, job_ND)
    products = [
        member_ND[:, dim] * job_ND[:, dim] if dim < width else np.full(len(present_N), np.nan)
        for dim in range(product_dims)
    ]
    with_gaps = [np.where(present_N, values, np.nan) for values in (cosine_N, *products)]
    return [with_gaps[0], present_N.astype(np.float64), *with_gaps[1:]]


def _columns(pairs: pd.DataFrame | Columns) -> Columns:
    if not isinstance(pairs, pd.DataFrame):
        return pairs
    return {str(name): pairs[name].to_numpy() for name in pairs.columns}


def _categorical(columns: Columns) -> list[str]:
    return sorted(c for c in columns if CATEGORICAL.match(c) and not has_lists(columns[c]))


def _signals(columns: Columns) -> list[str]:
    """Signals of which both sides are there."""
    named = (found["signal"] for c in columns if (found := VECTOR.match(c)))
    return sorted(signal for signal in named if f"job_{signal}__vector" in columns)


def _spaces(columns: Columns, signal: str) -> tuple[str | None, str | None]:
    """The member's and the job's space id; raises SpaceMismatch unless they are one pair."""
    member, job = (
        single_space(list(_column(columns, f"{side}_{signal}__space")), f"{side}_{signal}")
        for side in ("member", "job")
    )
    if member is not None and job is not None:
        require_pair(member, job)
    return member, job


def _require_spaces(columns: Columns, signal: SignalSchema) -> None:
    got = _spaces(columns, signal.name)
    for arrived, trained in zip(got, (signal.member_space, signal.job_space), strict=True):
        if arrived is not None and arrived != trained:
            raise SpaceMismatch(got=arrived, wanted=trained or "no vector, as in training,")


def _require_named(columns: Columns, side: str, present_N: NDArray[np.bool_]) -> None:
    """Raise DataError where a vector stands without its space id."""
    spaces = _column(columns, f"{side}__space")
    named_N = np.array([isinstance(space, str) and space != "" for space in spaces], dtype=np.bool_)
    nameless = int((present_N & ~named_N).sum())
    if nameless:
        raise DataError(
            f"{side}__space",
            f"{nameless} vectors without a space id",
            "Wanted the id beside every vector, as the history has it.",
        )


def _column(columns: Columns, name: str) -> Any:
    if name not in columns:
        raise DataError(
            "pairs", f"no column {name!r}", f"Ask the ranker's services. Found: {sorted(columns)}"
        )
    return columns[name]


def _row_count(columns: Columns, schema: PairSchema) -> int:
    """Rows of the matrix; every column has as many, or one."""
    embedded = [
        f"{side}_{signal.name}__{feature}"
        for signal in schema.signals
        for side in ("member", "job")
        for feature in ("vector", "space")
    ]
    lengths = {name: len(_column(columns, name)) for name in [*schema.vocabularies, *embedded]}
    many = {length for length in lengths.values() if length != 1}
    if len(many) > 1:
        raise DataError("pairs", f"columns of lengths {lengths}", "Wanted one length, or one row.")
    return many.pop() if many else 1
