"""
Encode: every member's and job's text becomes a vector in the text space.

    star encode --version v1

A version with a training table is trained first, where it has not been (see train_text).
A text that already has its vector is left alone, equal texts are encoded once, and each finished
chunk is on disk: killed and run again, it goes on with the next one.
"""

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.home import Home
from pipelines.receipts import Facts, Stage
from pipelines.recording import recorder
from star_features.catalogue import ENTITIES, Entity
from star_features.errors import UsageError
from star_features.progress import bar
from star_features.spaces import Space
from star_features.store.history import History, as_lists, hash_inputs
from star_features.tables.canonical import Tables

if TYPE_CHECKING:
    from star_features.text.encoder import TextEncoder

CHUNK = 2_000  # texts per Parquet part: what a kill can cost


def stage(home: Home, version: str = "v1") -> Stage:
    """The stage that fills `member_text_vN` and `job_text_vN`."""
    wanted = home.catalogue().text_version(version)
    return Stage(
        name=f"encode.{version}",
        settings=wanted.model_dump(),
        after=["ingest"],
        outputs=[home.history / f"{entity}_text_{version}" for entity in ENTITIES],
        work=lambda: _work(home, version),
    )


def _work(home: Home, version: str) -> Facts:
    from pipelines.train_text import encoder_settings
    from star_features.text.encoder import TextEncoder

    wanted = home.catalogue().text_version(version)
    encoder = TextEncoder.load(encoder_settings(home, version, wanted))
    if encoder.width != wanted.width:
        raise UsageError(
            f"[text.{version}] says width = {wanted.width}, but {encoder.settings.model} makes "
            f"{encoder.width}: correct spaces.toml"
        )
    tables = Tables(home.tables)
    return {
        f"{entity}_text_{version}": encode_entity(
            home, encoder, tables, entity, f"{entity}_text_{version}"
        )
        for entity in ENTITIES
    }


def encode_entity(
    home: Home, encoder: "TextEncoder", tables: Tables, entity: Entity, view: str
) -> Facts:
    """Append a vector for every text of `entity` that has none yet in this space."""
    space = encoder.space(view, entity)
    history = History.of_vectors(home.history, view)
    history.require_space(space.id)
    todo = _missing(tables, history, entity)
    counts: Counter[str] = Counter()
    with bar(f"encode {entity} texts", todo.num_rows, "text") as progress, recorder(home) as known:
        for start in range(0, todo.num_rows, CHUNK):
            rows = todo.slice(start, CHUNK)
            counts += _encode_chunk(encoder, history, rows, entity, space)
            known(history)
            progress.update(rows.num_rows)
    return {
        "rows": history.count(),
        "encoded": todo.num_rows,
        "truncated": counts["truncated"],
        "tokens": counts["tokens"],
        "width": space.width,
        "space": space.id,
        "identity": dict(space.identity),
    }


def _missing(tables: Tables, history: History, entity: Entity) -> pa.Table:
    """Entities whose text is not the one their newest vector was made from, by time and id."""
    key = f"{entity}_id"
    rows = tables.table(f"{entity}s", [key, "text", "updated_at"])
    rows = rows.filter(pc.is_valid(rows["text"]))
    hashes = hash_inputs(rows["text"].to_pylist())
    newest = history.newest_hash()
    stale = [newest.get(i) != h for i, h in zip(rows[key].to_pylist(), hashes, strict=True)]
    rows = rows.append_column("input_hash", pa.array(hashes)).filter(pa.array(stale, pa.bool_()))
    return rows.sort_by([("updated_at", "ascending"), (key, "ascending")])


def _encode_chunk(
    encoder: "TextEncoder", history: History, rows: pa.Table, entity: Entity, space: Space
) -> Counter[str]:
    result = encoder.encode(rows["text"].to_pylist(), side=entity)
    history.append(
        pa.table(
            {
                history.key: rows[history.key],
                "vector": as_lists(result.vectors_ND),
                "space": pa.array([space.id] * rows.num_rows, pa.string()),
                "input_hash": rows["input_hash"],
                "event_timestamp": rows["updated_at"],
                "created": pa.array([datetime.now(UTC)] * rows.num_rows, history.schema.types[-1]),
            }
        )
    )
    return Counter(truncated=result.truncated, tokens=result.tokens)
