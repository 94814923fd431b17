"""
The models, warm in memory: encoders, graphs with their snapshots, and the maps between versions.

    towers = Towers.load(home)
    towers.texts["v1"].encoder.encode(texts, "job")
    towers.graphs["v1"].live.vectors(fresh)

Loaded once: seconds, and the memory of the graph. `stale` says when what they were loaded from has
been made anew.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines import compat
from pipelines import graph as graph_job
from pipelines.home import Home
from pipelines.receipts import Facts, find_receipt
from star_features.catalogue import ENTITIES, Catalogue
from star_features.compat.maps import Map
from star_features.errors import EmptyInput, MissingStage
from star_features.store.history import hash_inputs
from star_features.tables.canonical import Tables

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """What this needs of a text encoder."""

    def encode(self, texts: list[str], side: Any) -> Any: ...

    def space(self, name: str, side: Any) -> Any: ...


@dataclass(frozen=True)
class TextTower:
    """A text version; `spaces` are the space ids of its two sides."""

    version: str
    width: int
    encoder: Encoder
    spaces: dict[str, str]

    def view(self, entity: str) -> str:
        return f"{entity}_text_{self.version}"


@dataclass(frozen=True)
class GraphTower:
    """
    A graph version as of its last snapshot.

    Attributes:
        text: the text version that its nodes carry.
        live: a `LiveGraph`.
        hashes: by entity and id, which text the snapshot's vector was made from.
    """

    version: str
    width: int
    text: str
    live: Any
    moment: graph_job.Moment
    trained: Facts
    spaces: dict[str, str]
    hashes: dict[str, dict[str, str]]

    def view(self, entity: str) -> str:
        return f"{entity}_graph_{self.version}"

    def text_vector(self, entity: str, id: str, text_hash: str) -> Vectors | None:
        """The vector that the snapshot has of this very text."""
        if self.hashes[entity].get(id) != text_hash:
            return None
        nodes = self.live.graph.nodes[entity]
        row = self.live.node(entity, id) - self.live.graph.offset(entity)
        vector_D: Vectors = nodes.text_ND[row]
        return vector_D if nodes.has_text_N[row] else None


@dataclass(frozen=True)
class Mapped:
    """A view that is filled from another one through a map."""

    view: str
    map: Map
    name: str


@dataclass(frozen=True)
class Towers:
    """All models of a home.

    Attributes:
        maps: by the view that is mapped, those that are filled from it.
        made_of: the receipts of the stages that they come from.
    """

    texts: dict[str, TextTower]
    graphs: dict[str, GraphTower]
    maps: dict[str, list[Mapped]]
    widths: dict[str, int]
    made_of: tuple[tuple[str, int], ...]

    @classmethod
    def load(cls, home: Home, encoders: dict[str, Encoder] | None = None) -> "Towers":
        """Load every version of the catalogue; a graph that is not trained is left out.

        Args:
            encoders: by text version, in place of the home's own.
        """
        catalogue = home.catalogue()
        made_of = _receipts(home)
        texts = {v: _text_tower(home, catalogue, v, encoders) for v in catalogue.text}
        graphs = {v: g for v in catalogue.graph if (g := _graph_tower(home, catalogue, v))}
        maps = _maps(home, catalogue)
        widths = {view: catalogue.of_view(view).width for view in catalogue.views()}
        return cls(texts, graphs, maps, widths, made_of)

    def stale(self, home: Home) -> bool:
        """Whether a stage that they come from has run since, and none of them is running."""
        now = _receipts(home)
        return now != self.made_of and len(now) >= len(self.made_of)


def _receipts(home: Home) -> tuple[tuple[str, int], ...]:
    """The stages that made the models, and when; those of vectors alone change no model."""
    folder = home.receipts
    found: list[tuple[str, int]] = []
    for pattern in ("graph.*.json", "fit.*.json"):
        found += [(path.name, path.stat().st_mtime_ns) for path in folder.glob(pattern)]
    return tuple(sorted(found))


def _text_tower(
    home: Home, catalogue: Catalogue, version: str, given: dict[str, Encoder] | None
) -> TextTower:
    encoder = (given or {}).get(version) or _encoder(home, version)
    spaces: dict[str, str] = {
        entity: encoder.space(f"{entity}_text_{version}", entity).id for entity in ENTITIES
    }
    return TextTower(version, catalogue.text_version(version).width, encoder, spaces)


def _encoder(home: Home, version: str) -> Encoder:
    from pipelines.train_text import encoder_settings
    from star_features.text.encoder import TextEncoder

    wanted = home.catalogue().text_version(version)
    if wanted.training is not None and not (home.model(f"text_{version}")).exists():
        raise MissingStage(f"the model of text {version}", f"star train text --version {version}")
    return TextEncoder.load(encoder_settings(home, version, wanted))


def _graph_tower(home: Home, catalogue: Catalogue, version: str) -> GraphTower | None:
    from star_features.graph.live import LiveGraph

    receipt = find_receipt(home, f"graph.{version}")
    try:
        found = graph_job.newest(home, version) if receipt else None
    except EmptyInput:
        return None
    if found is None:
        return None
    tables = Tables(home.tables)
    carried = {
        "member": tables.lists("members"),
        "job": ("company", *tables.lists("jobs")),
    }
    views = {entity: f"{entity}_graph_{version}" for entity in ENTITIES}
    wanted = catalogue.graph_version(version)
    return GraphTower(
        version=version,
        width=wanted.width,
        text=wanted.text,
        live=LiveGraph(found.model, found.graph, found.moment.sees, carried),
        moment=found.moment,
        trained=found.trained,
        spaces={e: graph_job.space_of(v, found.model, found.trained).id for e, v in views.items()},
        hashes={entity: _hashes(tables, entity) for entity in ENTITIES},
    )


def _hashes(tables: Tables, entity: str) -> dict[str, str]:
    rows = tables.table(f"{entity}s", [f"{entity}_id", "text"])
    pairs = zip(rows[0].to_pylist(), rows[1].to_pylist(), strict=True)
    return {id: hash_inputs([text])[0] for id, text in pairs if text}


def _maps(home: Home, catalogue: Catalogue) -> dict[str, list[Mapped]]:
    """Every mapped pair whose maps are fitted."""
    found: dict[str, list[Mapped]] = {}
    for pair in catalogue.mapped_pairs():
        fitted = find_receipt(home, home.fit(pair))
        if fitted is None or "not_trained" in fitted.facts:
            continue
        for entity in ENTITIES:
            source = f"{entity}_{pair.kind}_{pair.filled_by}"
            map, name = compat.the_map(home, pair, entity)
            digest = Path(name).name.rpartition("@")[2]
            found.setdefault(source, []).append(Mapped(pair.view(entity), map, digest))
    return found
