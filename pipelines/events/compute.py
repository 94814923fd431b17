"""
New rows of every view for members and jobs that are different now.

    made = Computing(towers, memory).rows(targets, known, now_us)
    made.rows, made.faults

A text that has not changed is not encoded again. What fails for one entity is a fault of that
entity: the others go on.

Shapes: N targets, D width of a space.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from pipelines import graph as graph_job
from pipelines.events.towers import GraphTower, TextTower, Towers, Vectors
from star_features.catalogue import ENTITIES
from star_features.errors import StarError
from star_features.events.decide import Key
from star_features.ledger.vectors import Newest
from star_features.online.columns import as_micros
from star_features.spaces import digest
from star_features.store.history import hash_categories
from star_features.store.mapped import mapped_hash


@dataclass(frozen=True)
class Target:
    """A member or job as it is now.

    Attributes:
        text: None where it is the tables' own, whose hash alone is known.
        met: interactions that were told, as the graph takes them.
    """

    entity: str
    id: str
    since_us: int
    text: str | None
    text_hash: str | None
    company_id: str | None
    categories: Mapping[str, str]
    lists: Mapping[str, Sequence[str]]
    met: Sequence[Any] = ()

    @property
    def key(self) -> Key:
        return self.entity, self.id


@dataclass(frozen=True)
class NewRow:
    """A row to write: of an embedding space, or of categorical features."""

    view: str
    entity: str
    id: str
    space: str
    vector_D: Vectors | None
    categories: dict[str, str | None] | None
    input_hash: str
    content_us: int
    computed_us: int


@dataclass
class Made:
    """What a batch came to."""

    rows: list[NewRow] = field(default_factory=list)
    faults: dict[Key, str] = field(default_factory=dict)
    encoded: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


class Memory:
    """Text vectors of what changed lately, the least used forgotten first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: OrderedDict[tuple[str, str, str, str], Vectors] = OrderedDict()

    def get(self, version: str, key: Key, text_hash: str) -> Vectors | None:
        place = (version, *key, text_hash)
        if place in self._held:
            self._held.move_to_end(place)
        return self._held.get(place)

    def put(self, version: str, key: Key, text_hash: str, vector_D: Vectors) -> None:
        self._held[version, *key, text_hash] = vector_D
        while len(self._held) > self.most:
            self._held.popitem(last=False)


class Computing:
    """One batch's work.

    Args:
        known: by view and id, the newest row that the ledger knows.
        stored: how to read one text vector back from the online store, None where it is not there.
        categorical: the categorical columns of each entity.
    """

    def __init__(
        self,
        towers: Towers,
        memory: Memory,
        known: Mapping[str, Mapping[str, Newest]],
        stored: Any,
        categorical: Mapping[str, Sequence[str]],
        now_us: int,
    ) -> None:
        self.towers, self.memory, self.known, self.stored = towers, memory, known, stored
        self.categorical, self.now_us = categorical, now_us
        self.made = Made()
        self.texts: dict[tuple[str, Key], Vectors] = {}

    def rows(self, targets: Sequence[Target]) -> Made:
        """New rows of all views, and what could not be computed."""
        for target in targets:
            self._attributes(target)
        started = perf_counter()
        for tower in self.towers.texts.values():
            for entity in ENTITIES:
                self._text_rows(tower, entity, targets)
        encoded = perf_counter()
        for graph in self.towers.graphs.values():
            self._graph_rows(graph, targets)
        self.made.seconds = {"encode": encoded - started, "graph": perf_counter() - encoded}
        bad = self.made.faults
        self.made.rows = [row for row in self.made.rows if (row.entity, row.id) not in bad]
        return self.made

    def _attributes(self, target: Target) -> None:
        columns = self.categorical[target.entity]
        if not columns:
            return
        values = {column: target.categories.get(column) for column in columns}
        hashed = hash_categories(columns, list(values.values()))
        view = f"{target.entity}_attributes"
        known = self.known.get(view, {}).get(target.id)
        if known is None or known.input_hash != hashed:
            self._add(view, target, "", None, hashed, target.since_us, values)

    def _text_rows(self, tower: TextTower, entity: str, targets: Sequence[Target]) -> None:
        view, space = tower.view(entity), tower.spaces[entity]
        todo: list[Target] = []
        for target in targets:
            if target.entity != entity or target.text_hash is None:
                continue
            known = self.known.get(view, {}).get(target.id)
            if known and (known.input_hash, known.space) == (target.text_hash, space):
                continue
            if target.text is not None:
                todo.append(target)
        for target, vector_D in zip(todo, self._encoded(tower, entity, todo), strict=True):
            if vector_D is not None and self._sound(view, target, vector_D):
                self._remember(tower.version, target, vector_D)
                hashed = str(target.text_hash)
                self._add(view, target, space, vector_D, hashed, target.since_us)

    def _encoded(
        self, tower: TextTower, entity: str, todo: Sequence[Target]
    ) -> "list[Vectors | None]":
        """A vector each; one by one where all at once failed, to find whose text it was."""
        texts = [str(target.text) for target in todo]
        if not texts:
            return []
        try:
            self.made.encoded += len(texts)
            return list(tower.encoder.encode(texts, entity).vectors_ND)
        except StarError:
            raise
        except Exception as error:  # whatever a text does to a tokenizer
            if len(todo) == 1:
                why = f"not_encodable: {type(error).__name__} in text {tower.version}"
                self.made.faults[todo[0].key] = why
                return [None]
        return [self._encoded(tower, entity, [target])[0] for target in todo]

    def _remember(self, version: str, target: Target, vector_D: Vectors) -> None:
        self.texts[version, target.key] = vector_D
        self.memory.put(version, target.key, str(target.text_hash), vector_D)

    def _text_of(self, graph: GraphTower, target: Target) -> Vectors | None:
        """The text vector that a graph's node carries, from wherever it is."""
        if target.text_hash is None:
            return None
        made = self.texts.get((graph.text, target.key))
        if made is None:
            made = self.memory.get(graph.text, target.key, target.text_hash)
        if made is None:
            made = graph.text_vector(target.entity, target.id, target.text_hash)
        if made is None:
            view = self.towers.texts[graph.text].view(target.entity)
            known = self.known.get(view, {}).get(target.id)
            if known and known.input_hash == target.text_hash:
                made = self.stored(view, target.id, known)
        if made is None and target.text is not None:
            tower = self.towers.texts[graph.text]
            made = self._encoded(tower, target.entity, [target])[0]
        if made is not None:
            self._remember(graph.text, target, made)
        return made

    def _graph_rows(self, graph: GraphTower, targets: Sequence[Target]) -> None:
        from star_features.graph.live import Fresh

        todo = [target for target in targets if target.key not in self.made.faults]
        fresh = [
            Fresh(
                entity=target.entity,
                id=target.id,
                since_us=target.since_us,
                text_D=self._text_of(graph, target),
                categories=target.categories,
                attributes={**target.lists, "company": _listed(target.company_id)},
                met=target.met,
            )
            for target in todo
        ]
        vectors_ND = graph.live.vectors(fresh)
        hashes = graph_job.input_hashes(graph.trained, graph.moment, vectors_ND).to_pylist()
        for target, vector_D, hashed in zip(todo, vectors_ND, hashes, strict=True):
            view = graph.view(target.entity)
            content_us = content_of(graph.moment, target)
            known = self.known.get(view, {}).get(target.id)
            space = graph.spaces[target.entity]
            same = known and (known.space, known.input_hash) == (space, hashed)
            if same and known and known.content_us >= content_us:
                continue
            if self._sound(view, target, vector_D):
                self._add(view, target, space, vector_D, hashed, content_us)

    def _sound(self, view: str, target: Target, vector_D: Vectors) -> bool:
        width = self.towers.widths[view]
        if vector_D.shape != (width,):
            why = f"wrong_width: {vector_D.shape[-1]} numbers for {view}, wanted {width}"
        elif not np.isfinite(vector_D).all():
            why = f"nan_vector: {view} would hold a number that is not finite"
        else:
            return True
        self.made.faults[target.key] = why
        return False

    def _add(
        self,
        view: str,
        target: Target,
        space: str,
        vector_D: Vectors | None,
        input_hash: str,
        content_us: int,
        categories: "dict[str, str | None] | None" = None,
    ) -> None:
        known = self.known.get(view, {}).get(target.id)
        computed_us = self.now_us
        if known and known.content_us == content_us:  # a clock that went back must not lose
            computed_us = max(computed_us, known.computed_us + 1)
        row = NewRow(
            view, target.entity, target.id, space, vector_D, categories, input_hash, content_us,
            computed_us,
        )  # fmt: skip
        self.made.rows.append(row)
        if vector_D is not None:
            self._mapped(row, target)

    def _mapped(self, row: NewRow, target: Target) -> None:
        for mapped in self.towers.maps.get(row.view, ()):
            assert row.vector_D is not None
            vector_D = mapped.map(row.vector_D[None], space=row.space)[0]
            if self._sound(mapped.view, target, vector_D):
                hashed = mapped_hash(mapped.name, row.input_hash)
                self._add(mapped.view, target, mapped.map.target, vector_D, hashed, row.content_us)


def content_of(moment: graph_job.Moment, target: Target) -> int:
    """When what a graph vector says became true, as a snapshot's rows have it: at the snapshot, or
    at its own later content, or just after its last interaction."""
    at_us = as_micros(moment.at)
    if moment.sees is None:
        return at_us
    told = max((met.at_us + 1 for met in target.met), default=at_us)
    return max(at_us, target.since_us, told)


def update_id(row: NewRow) -> str:
    """Digest of what an update says, its time of computation apart."""
    return digest([row.view, row.id, row.space, row.input_hash, row.content_us], 32)


def _listed(value: str | None) -> list[str]:
    return [] if value is None else [value]
