"""
Graph: train the graph tower once a version, then give everyone a vector as of each week.

    star graph --version v1 [--retrain]
    star train graph --version v1 [--retrain]    # only the first half

The model trains on the history only. Vectors follow as of its cut-off, as of every seventh day
after it and as of now; someone who is new between two of these days gets a vector at his own time,
from his text, his attributes and the earlier day's graph, in which nobody's later text or
attributes are seen, not even by others who are new. What is in the history stays as it is.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import joint
from pipelines.graph_model import load_trained, train_once
from pipelines.home import Home
from pipelines.receipts import Facts, Stage
from pipelines.recording import forget_views, recorder
from pipelines.roles import roles
from star_features.catalogue import ENTITIES, Entity, GraphVersion, SpacePair
from star_features.errors import EmptyInput, MissingStage, UsageError
from star_features.evaluation.protocols import Split
from star_features.spaces import Space, VectorTable, digest
from star_features.store.history import TIME, History, as_lists, hash_inputs
from star_features.tables.canonical import Tables

EVERY = timedelta(days=7)
TRAINED_ON = "trained_on.parquet"  # the labels behind a model, beside it
NOW = timedelta(microseconds=1)  # past the last interaction: sees all of them


@dataclass(frozen=True)
class Moment:
    """A snapshot: the graph as of `at`, for those who are there before `until`."""

    at: datetime
    until: datetime | None
    sees: np.datetime64 | None


def stage(home: Home, version: str = "v1", *, retrain: bool = False) -> Stage:
    """The stage that fills `member_graph_vN` and `job_graph_vN`.

    Args:
        retrain: forget the version's model and vectors first.
    """
    wanted = home.catalogue().graph_version(version)
    return Stage(
        name=f"graph.{version}",
        settings=wanted.model_dump(),
        after=[
            "ingest",
            f"encode.{wanted.text}",
            *(f"graph.{old}" for old in joint.targets_of(wanted)),
        ],
        outputs=[home.history / f"{entity}_graph_{version}" for entity in ENTITIES],
        work=lambda: _work(home, version, wanted, retrain),
    )


def _forget(home: Home, version: str) -> None:
    """Remove a version's model and vectors, and what was mapped into its spaces: a version that
    is trained anew speaks another language."""
    for folder in [home.model(f"graph_{version}"), _checkpoint(home, version)]:
        shutil.rmtree(folder, ignore_errors=True)
    mapped = [
        p for p in home.catalogue().mapped_pairs() if (p.kind, p.version) == ("graph", version)
    ]
    views = [p.view(e) for p in [SpacePair("graph", version), *mapped] for e in ENTITIES]
    for view in views:
        shutil.rmtree(home.history / view, ignore_errors=True)
    forget_views(home, views)


def train(home: Home, version: str, retrain: bool = False) -> Facts:
    """Train the version's model unless it is there; its training report.

    Raises:
        EmptyInput: there is too little to learn from.
    """
    wanted = home.catalogue().graph_version(version)
    if retrain:
        _forget(home, version)
    tables = Tables(home.tables)
    report = _trained(home, version, wanted, tables)[-1]
    picture = home.report / f"graph_{version}.png"
    return report | {"figure": _draw_schedule(picture, version, report)}


def _draw_schedule(path: Path, version: str, report: Facts) -> str:
    from star_features.evaluation.schedule import draw_schedule
    from star_features.graph.budget import schedule
    from star_features.graph.settings import GraphSettings

    raises = [row.get("raises", 0.0) for row in report["curve"]]
    fan_outs = schedule(raises, GraphSettings.model_validate(report["settings"]))
    draw_schedule(
        path, report["curve"], fan_outs, metric=report["metric"], title=f"graph {version}"
    )
    return str(path)


def _trained(
    home: Home, version: str, wanted: GraphVersion, tables: Tables
) -> tuple[Split, Any, Any, Facts]:
    """Who may learn from what, the graph, the model, and how it was trained."""
    parts = roles(tables)
    text = text_vectors(home, wanted.text)
    graph = graph_of(tables, text, visible(tables, parts), wanted)
    return parts, graph, *_model(home, version, wanted, graph, parts, tables)


def _work(home: Home, version: str, wanted: GraphVersion, retrain: bool) -> Facts:
    if retrain:
        _forget(home, version)
    tables = Tables(home.tables)
    for entity in ENTITIES:
        _history(home, entity, version).ensure()
    try:
        parts, graph, model, trained = _trained(home, version, wanted, tables)
    except EmptyInput as reason:
        # Without interactions there is nothing to learn from: the text tower serves alone.
        return {"not_trained": str(reason)}
    rows = {e: _infer_all(home, e, version, model, graph, tables, parts, trained) for e in ENTITIES}
    return {**{f"{e}_graph_{version}": facts for e, facts in rows.items()}, "training": trained}


def text_vectors(home: Home, version: str) -> dict[str, VectorTable]:
    """The vector of every member's and job's text as the tables have it.

    Not of the newest text that is known: an event may have told a later one, and its vector stands
    in the history already.
    """
    return {entity: _vectors_of_texts(home, entity, version) for entity in ENTITIES}


def _vectors_of_texts(home: Home, entity: Entity, version: str) -> VectorTable:
    history = History.of_vectors(home.history, f"{entity}_text_{version}")
    rows = Tables(home.tables).table(f"{entity}s", [history.key, "text"])
    rows = rows.filter(pc.is_valid(rows["text"]))
    hashes = pa.array(hash_inputs(rows["text"].to_pylist()), pa.string())
    return history.latest_of(pa.table({history.key: rows[history.key], "input_hash": hashes}))


def visible(tables: Tables, parts: Split) -> pa.Table:
    """Interactions that may become edges: all where times tell them apart, else the history."""
    return tables.interactions() if tables.has_times else parts.history


def graph_of(
    tables: Tables, text: dict[str, VectorTable], interactions: pa.Table, wanted: GraphVersion
) -> Any:
    """The graph over all tables as a version reads it, with these interactions as its edges."""
    from star_features.graph.build import build_graph
    from star_features.graph.densify import densified

    graph = build_graph(
        tables.members(),
        tables.jobs(),
        text,
        interactions=interactions,
        edges=tables.edges(),
        nodes={kind: tables.nodes(kind) for kind in tables.node_types},
        categorical={entity: tables.categorical(f"{entity}s") for entity in ENTITIES},
        lists={entity: tables.lists(f"{entity}s") for entity in ENTITIES},
    )
    return densified(graph, settings_of(wanted, tables).densify)


def settings_of(wanted: GraphVersion, tables: Tables) -> Any:
    """The network's settings; data without times are read without them."""
    from star_features.graph.settings import GraphSettings

    time = {} if tables.has_times else {"time": "none"}
    settings = GraphSettings(**{"output": wanted.width, **time, **wanted.network})
    if settings.output != wanted.width:
        raise UsageError(f"width = {wanted.width} but network.output = {settings.output}")
    return settings


def _model(
    home: Home,
    version: str,
    wanted: GraphVersion,
    graph: Any,
    parts: Split,
    tables: Tables,
) -> tuple[Any, Facts]:
    """The version's model: loaded where it exists, else trained on the history and saved."""
    folder = home.model(f"graph_{version}")
    settings = settings_of(wanted, tables)
    _refuse_seen_labels(folder, version, parts)
    model, trained = train_once(
        graph,
        parts.history,
        settings,
        folder,
        _checkpoint(home, version),
        lambda: joint.joint_of(
            wanted, graph, parts.history, settings, lambda old: _older(home, old, parts, tables)
        ),
    )
    if not (folder / TRAINED_ON).exists():
        pq.write_table(_pairs(parts.history), folder / TRAINED_ON)
    same = (
        type(settings).model_validate(trained["settings"]) == settings
    )  # old models lack new keys
    if not same or (trained.get("joint") or {}).get("settings") != joint.asked(wanted):
        raise UsageError(
            f"[graph.{version}] has other settings than the model in {folder} was trained with.\n"
            "A version that is served does not change: add the next one to spaces.toml, or train "
            f"this one anew: star graph --version {version} --retrain"
        )
    return model, trained


def _older(home: Home, version: str, parts: Split, tables: Tables) -> joint.Older:
    """An older version as it is served, to train a newer one together with.

    Raises:
        MissingStage: it has no model.
    """
    folder, wanted = home.model(f"graph_{version}"), home.catalogue().graph_version(version)
    if not (folder / "manifest.json").exists():
        raise MissingStage(f"the model of graph {version}", f"star graph --version {version}")
    model, trained = load_trained(folder)
    text = text_vectors(home, wanted.text)
    return joint.Older(
        model,
        graph_of(tables, text, visible(tables, parts), wanted),
        {e: space_of(f"{e}_graph_{version}", model, trained).id for e in ENTITIES},
    )


def _pairs(rows: pa.Table) -> pa.Table:
    return rows.group_by(["member_id", "job_id", "at"]).aggregate([])


def _refuse_seen_labels(folder: Path, version: str, parts: Split) -> None:
    """Rows that a model has trained on may not become the ranker's or the test's labels.

    They can when the data change under a model: rows before the cut-off go, or come late.
    """
    if not (folder / TRAINED_ON).exists():
        return
    later = _pairs(pa.concat_tables([parts.ranker, parts.test]))
    keys = ["member_id", "job_id", "at"]
    seen = pq.read_table(folder / TRAINED_ON).join(later, keys, join_type="inner").num_rows
    if seen:
        raise UsageError(
            f"graph {version} has trained on {seen:,} interactions that are now to evaluate it: "
            "the data changed.\nTrain it anew: star graph "
            f"--version {version} --retrain (or add the next version to spaces.toml)"
        )


def _checkpoint(home: Home, version: str) -> Path:
    return home.path / "checkpoints" / f"graph_{version}"


def _history(home: Home, entity: Entity, version: str) -> History:
    return History.of_vectors(home.history, f"{entity}_graph_{version}")


@dataclass(frozen=True)
class Newest:
    """What the newest vectors of a version were made from, loaded and not trained."""

    model: Any
    graph: Any
    moment: Moment
    trained: Facts


def newest(home: Home, version: str) -> Newest | None:
    """The version's model and its graph as of the last snapshot; None where it is not trained."""
    folder = home.model(f"graph_{version}")
    if not (folder / "manifest.json").exists():
        return None
    model, trained = load_trained(folder)
    wanted, tables = home.catalogue().graph_version(version), Tables(home.tables)
    parts = roles(tables)
    text = text_vectors(home, wanted.text)
    graph = graph_of(tables, text, visible(tables, parts), wanted)
    *_, last = moments(tables, parts)
    return Newest(model, graph, last, trained)


def moments(tables: Tables, parts: Split) -> Iterator[Moment]:
    """The snapshots of a run: one for data without times, else weekly from the cut-off to now."""
    times = tables.interactions(["at"])["at"]
    last = pc.max(times).as_py()
    if not tables.has_times:
        yield Moment(pc.min(times).as_py(), None, None)
        return
    at = parts.cutoffs["ranker"]
    while at < last:
        yield Moment(at, min(at + EVERY, last + NOW), np.datetime64(at.replace(tzinfo=None), "us"))
        at += EVERY
    now = last + NOW
    yield Moment(now, None, np.datetime64(now.replace(tzinfo=None), "us"))


def _infer_all(
    home: Home,
    entity: Entity,
    version: str,
    model: Any,
    graph: Any,
    tables: Tables,
    parts: Split,
    trained: Facts,
) -> Facts:
    """Append the vectors of every snapshot to the history of one entity's space."""
    history = _history(home, entity, version)
    space = space_of(history.view, model, trained)
    history.require_space(space.id)
    since = tables.table(f"{entity}s", [history.key, "updated_at"])
    new = 0
    with recorder(home) as known:
        for moment in moments(tables, parts):
            rows = _snapshot(model, graph, entity, since, moment, trained)
            new += history.append(_as_history(rows, history, space))
            known(history)
    return {"rows": history.count(), "new": new, "width": space.width, "space": space.id}


def _snapshot(
    model: Any, graph: Any, entity: Entity, since: pa.Table, moment: Moment, trained: Facts
) -> pa.Table:
    """Vectors as of one moment, of everyone who is there before the next one.

    Whoever is newer than the moment sees it with his own content, and stands at his own time.
    """
    from star_features.graph.infer import infer

    there = since
    if moment.until is not None:
        there = since.filter(pc.less(since["updated_at"], pa.scalar(moment.until, TIME)))
    ids, vectors_ND = infer(model, graph, moment.sees, entity, there[0].to_pylist(), fresh=True)
    at = pa.array([moment.at] * len(ids), TIME)
    since = there["updated_at"].combine_chunks()
    # Without times everybody's vector is from that one moment on.
    event = pc.if_else(pc.greater(since, at), since, at) if moment.sees is not None else at
    return pa.table(
        {
            "id": pa.array(ids.tolist(), pa.string()),
            "vector": as_lists(vectors_ND),
            "event_timestamp": event,
            "input_hash": input_hashes(trained, moment, vectors_ND),
        }
    )


def input_hashes(trained: Facts, moment: Moment, vectors_ND: Any) -> pa.Array:
    """What a row is known by: past snapshots stay as they are, the newest follows its inputs."""
    as_of = f"{trained['sha256'][:16]} as of {moment.at.isoformat()}"
    if moment.until is not None:
        return pa.array([as_of] * len(vectors_ND), pa.string())
    rounded_ND = np.round(vectors_ND, 4) + 0.0  # no -0.0: threads may differ in the last bits
    hashes = [f"{as_of} {sha256(row.tobytes()).hexdigest()[:16]}" for row in rounded_ND]
    return pa.array(hashes, pa.string())


def _as_history(rows: pa.Table, history: History, space: Space) -> pa.Table:
    return pa.table(
        {
            history.key: rows["id"],
            "vector": rows["vector"],
            "space": pa.array([space.id] * rows.num_rows, pa.string()),
            "input_hash": rows["input_hash"],
            "event_timestamp": rows["event_timestamp"],
            "created": pa.array([datetime.now(UTC)] * rows.num_rows, TIME),
        }
    )


def space_of(view: str, model: Any, trained: Facts) -> Space:
    """Members and jobs share one identity, the model's: they are a pair."""
    return Space(
        view,
        model.settings.output,
        {"weights": trained["sha256"], "settings": digest(trained["settings"])},
    )
