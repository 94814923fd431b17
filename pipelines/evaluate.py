"""
Evaluate: retrieval over all jobs, under three protocols, against popularity and item-item.

    star evaluate --protocol time-split --at 10,100

The time split reads the version's model as it was trained. The leave-outs hide other interactions,
so each trains a graph of its own, once, on what it leaves visible.
"""

import contextlib
from typing import Any, cast

import numpy as np
import pyarrow as pa

from pipelines import graph as graph_job
from pipelines import graph_model
from pipelines.home import Home
from pipelines.roles import SEED, ids, protocol_of
from star_features.catalogue import ENTITIES, GraphVersion
from star_features.errors import EmptyInput, UsageError
from star_features.evaluation.protocols import Protocol, Split, split
from star_features.evaluation.retrieval import Retrieval, evaluate
from star_features.spaces import VectorTable, digest
from star_features.tables.canonical import Tables

Pair = tuple[VectorTable, VectorTable]


def run(home: Home, protocol: str, at: tuple[int, ...], version: str = "v1") -> Retrieval:
    """Every signal alone and together, and the peers, on every slice.

    Raises:
        UsageError: the data have no times and `time-split` was asked for.
    """
    tables = Tables(home.tables)
    if protocol == "time-split" and not tables.has_times:
        raise UsageError("these data have no times to split at: --protocol leave-one-out")
    parts = split(tables.interactions(), cast(Protocol, protocol), seed=SEED)
    wanted = home.catalogue().graph_version(version)
    text = graph_job.text_vectors(home, wanted.text)
    signals: dict[str, Pair] = {"text": (text["member"], text["job"])}
    with contextlib.suppress(EmptyInput):  # too few interactions to train on: text stands alone
        signals["graph"] = _graph_vectors(home, version, wanted, parts, tables, text)
    known = pa.concat_tables([parts.history, parts.ranker])
    return evaluate(signals, known, parts.test, ids(tables, "job"), at)


def _graph_vectors(
    home: Home,
    version: str,
    wanted: GraphVersion,
    parts: Split,
    tables: Tables,
    text: dict[str, VectorTable],
) -> Pair:
    """Vectors that know what this protocol leaves visible, and nothing else."""
    from star_features.graph.infer import infer

    known = pa.concat_tables([parts.history, parts.ranker])
    graph = graph_job.graph_of(tables, text, known, wanted)
    if parts.protocol == protocol_of(tables):
        model, sha = _served_model(home, version)
    else:
        model, sha = _own_model(home, version, wanted, parts, tables, graph, known)
    space = digest([sha, parts.protocol, parts.seed], 12)
    cutoff = parts.cutoffs.get("test")
    as_of = np.datetime64(cutoff.replace(tzinfo=None), "us") if cutoff else None
    found = {}
    for entity in ENTITIES:
        ids, vectors_ND = infer(model, graph, as_of, entity, fresh=True)
        found[entity] = VectorTable(f"{entity}_graph_{version}@{space}", ids, vectors_ND)
    return found["member"], found["job"]


def _served_model(home: Home, version: str) -> tuple[Any, str]:
    from star_features.graph.artefact import identity_of, load_model, read_manifest

    folder = home.model(f"graph_{version}")
    return load_model(folder)[0], identity_of(read_manifest(folder))


def _own_model(
    home: Home,
    version: str,
    wanted: GraphVersion,
    parts: Split,
    tables: Tables,
    graph: Any,
    known: pa.Table,
) -> tuple[Any, str]:
    """A model trained on all that this protocol leaves visible; kept for the next call."""
    settings = graph_job.settings_of(wanted, tables)
    # The held-out rows are not in the graph, but later ones are: times would promise too much.
    settings = settings.model_copy(update={"time": "none"})
    key = digest([settings.model_dump(mode="json"), graph.checksum, known.num_rows], 12)
    folder = home.path / "evaluation" / f"{parts.protocol}-{version}-{key}"
    model, trained = graph_model.train_once(
        graph, known, settings, folder, folder.with_suffix(".checkpoint")
    )
    return model, trained["sha256"]
