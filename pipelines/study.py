"""
Study: the graph tower trained many ways on this home's data, each way with several seeds.

    star evaluate graph [--study inputs] [--seeds 0,1,2] [--version v1]

Each row changes some settings of the version and nothing else. A row is trained on the history and
asked for the test's jobs as of the test's first moment. Every (row, seed) that is done lies in
$STAR_HOME/evaluation/study as JSON: killed and called again, the rest is done, and a study of the
same rows reads them.
"""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines import graph as graph_job
from pipelines import graph_model
from pipelines.home import Home
from pipelines.receipts import Facts
from pipelines.roles import ids, label_frame, roles
from star_features.catalogue import ENTITIES, GraphVersion
from star_features.errors import UsageError
from star_features.evaluation.protocols import Split
from star_features.evaluation.retrieval import Retrieval, evaluate
from star_features.files import read_json, write_json
from star_features.spaces import VectorTable, digest
from star_features.tables.canonical import Tables

Settings = Mapping[str, Any]
Pair = tuple[VectorTable, VectorTable]

PEERS = "without a graph"  # the row that trains nothing
BUCKETS = (1, 5, 20)  # degrees at which a slice begins
CONTRASTIVE = {"contrastive_weight": 1.0, "binary_weight": 0.0}

STUDIES: dict[str, dict[str, Settings]] = {
    # The paper's table: what the nodes bring with them.
    "inputs": {
        "categorical": {"use_text": False},
        "+ text": {},
        "+ text - categorical": {"use_categorical": False},
        "+ text + ids": {"use_ids": True},
        "text only, no attributes": {"use_categorical": False, "use_attributes": False},
    },
    # What is told from what.
    "losses": {
        "binary": {"contrastive_weight": 0.0},
        "contrastive": CONTRASTIVE,
        "contrastive, both sides": {**CONTRASTIVE, "both_sides": True},
        "contrastive, popularity off": {**CONTRASTIVE, "popularity_correction": 1.0},
        "binary + contrastive": {},
        "binary + contrastive, both sides": {"both_sides": True},
        "binary + contrastive, hard": {"hard_negatives": 1},
        "binary + contrastive, hard in both": {"hard_negatives": 1, "hard_weight": 0.3},
    },
    # Which neighbours are read.
    "neighbours": {
        "as the version says": {},
        "densified": {"densify": {}},
        "densified below 10": {"densify": {"below": 10}},
        "the most recent": {"pick": "recent"},
        "few": {"fan_outs": (2, 1)},
        "many": {"fan_outs": (12, 6)},
        "many, reached in steps": {"fan_outs": (12, 6), "adaptive": {}},
    },
}


@dataclass(frozen=True)
class Asked:
    """A study on one home's data.

    Attributes:
        rows: settings to change, by name.
        at: cuts of recall.
    """

    home: Home
    version: str
    rows: Mapping[str, Settings]
    seeds: tuple[int, ...]
    at: tuple[int, ...]

    @property
    def wanted(self) -> GraphVersion:
        return self.home.catalogue().graph_version(self.version)

    @property
    def folder(self) -> Path:
        return self.home.path / "evaluation" / "study"


def study(
    home: Home, name: str, seeds: Sequence[int], at: tuple[int, ...], version: str = "v1"
) -> Asked:
    """A named study of a version; raises UsageError with the known names."""
    if name not in STUDIES:
        raise UsageError(f"no study {name!r}; known: {', '.join(STUDIES)}")
    if not seeds:
        raise UsageError("a study of no seed; wanted one or more, such as --seeds 0,1,2")
    return Asked(home, version, STUDIES[name], tuple(seeds), at)


def run(asked: Asked) -> Iterator[Facts]:
    """Results as they come: first the peers, then seed by seed all rows of the study.

    Each holds `row`, `seed`, `seconds`, and `rankings`: by ranking and slice, the figures.
    """
    tables = Tables(asked.home.tables)
    parts = roles(tables)
    text = graph_job.text_vectors(asked.home, asked.wanted.text)
    world = _World(asked, tables, parts, text)
    yield world.kept(PEERS, {}, 0, lambda *_: {"text": (text["member"], text["job"])})
    for seed in asked.seeds:
        for row, changed in asked.rows.items():
            yield world.kept(row, changed, seed, world.signal)


@dataclass(frozen=True)
class _World:
    """What all rows share: the data, and who may learn from what."""

    asked: Asked
    tables: Tables
    parts: Split
    text: dict[str, VectorTable]

    def kept(self, row: str, changed: Settings, seed: int, signals: Any) -> Facts:
        """The result of a row: read where it has been done, else done and written."""
        wanted = self.settings(changed, seed)
        key = digest([row == PEERS, wanted.model_dump(mode="json"), self.asked.at, self.data()], 16)
        path = self.asked.folder / f"{key}.json"
        if not path.exists():
            begin = time.perf_counter()
            found = self.ranked(signals(changed, seed, self.asked.folder / key))
            seconds = time.perf_counter() - begin
            done = {"row": row, "seed": seed, "seconds": seconds, **found}
            write_json(path, done, sort_keys=False)
            shutil.rmtree(self.asked.folder / key, ignore_errors=True)
        result: Facts = read_json(path) | {"row": row}
        return result

    def data(self) -> list[Any]:
        """What tells these data and texts from others."""
        spaces = [self.text[entity].space for entity in ENTITIES]
        sizes = [part.num_rows for part in (self.parts.history, self.parts.ranker, self.parts.test)]
        return [spaces, sizes, {k: v.isoformat() for k, v in self.parts.cutoffs.items()}]

    def settings(self, changed: Settings, seed: int) -> Any:
        network = {**self.asked.wanted.network, **changed, "seed": seed}
        version = self.asked.wanted.model_copy(update={"network": network})
        return graph_job.settings_of(version, self.tables)

    def signal(self, changed: Settings, seed: int, folder: Path) -> dict[str, Pair]:
        """Vectors of one row's own model, as of the test's first moment."""
        from star_features.graph.infer import infer

        settings = self.settings(changed, seed)
        version = self.asked.wanted.model_copy(update={"network": settings.model_dump()})
        known = pa.concat_tables([self.parts.history, self.parts.ranker])
        graph = graph_job.graph_of(self.tables, self.text, known, version)
        model, trained = graph_model.train_once(
            graph, self.parts.history, settings, folder, folder.with_suffix(".checkpoint")
        )
        cutoff = self.parts.cutoffs.get("test")
        as_of = np.datetime64(cutoff.replace(tzinfo=None), "us") if cutoff else None
        found = {}
        for entity in ENTITIES:
            names, vectors_ND = infer(model, graph, as_of, entity, fresh=True)
            found[entity] = VectorTable(
                f"{entity}_graph_v0@{trained['sha256'][:12]}", names, vectors_ND
            )
        return {"graph": (found["member"], found["job"])}

    def ranked(self, signals: dict[str, Pair]) -> Facts:
        """Figures of each ranking on every slice; where nothing was shown and not taken, jobs drawn
        by chance stand in, for the AUC alone."""
        test = label_frame(self.parts.test, "test", self.tables)
        test = test.rename(columns={"event_timestamp": "at"})
        columns = ["member_id", "job_id", "at", "label"]
        rows = pa.Table.from_pandas(test[columns], preserve_index=False)
        known = pa.concat_tables([self.parts.history, self.parts.ranker])
        found = evaluate(
            signals, known, rows, ids(self.tables, "job"), self.asked.at, degrees=BUCKETS
        )
        return {"rankings": {name: _slices(found, name) for name in _rankings(found)}}


def by_ranking(results: Sequence[Facts]) -> list[Facts]:
    """One entry a ranking: a graph's under the name of its row, the peers' under their own."""
    named = {"text": "text alone"}
    return [
        {
            "row": result["row"] if name == "graph" else named.get(name, name),
            "seed": result["seed"],
            "slices": slices,
        }
        for result in results
        for name, slices in result["rankings"].items()
        if name == "graph" or result["row"] == PEERS
    ]


def _rankings(found: Retrieval) -> list[str]:
    return list(dict.fromkeys(row.ranking for row in found.rows))


def _slices(found: Retrieval, name: str) -> dict[str, dict[str, float]]:
    """Figures by slice, of the slices that hold a pair."""
    return {
        row.slice: {
            "pairs": row.pairs,
            "auc": row.auc,
            **{f"recall@{k}": value for k, value in row.recall.items()},
            "mrr": row.mrr,
        }
        for row in found.rows
        if row.ranking == name and row.pairs
    }
