"""
A small Feast repository made in memory, for benchmarks and tests: no folder, no `feast apply`.

    store = small_store(root, online={"type": "sqlite", "path": "online.db"})
    job = entity("job")
    view = embedding_view(job, "job_graph_v1", root / "job_graph_v1.parquet", width=200)
    store.apply([job, view, FeatureService(name="ranker", features=[view.with_name("job_star")])])
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.data_format import ParquetFormat
from feast.repo_config import MaterializationConfig
from feast.types import Array, Float32, String


def small_store(
    root: Path,
    *,
    online: dict[str, Any] | None = None,
    offline: dict[str, Any] | None = None,
    project: str = "p",
) -> FeatureStore:
    """A store whose registry lies under `root`; several may share it."""
    return FeatureStore(
        config=RepoConfig(
            project=project,
            provider="local",
            registry={"registry_type": "sql", "path": f"sqlite:///{root}/registry.db"},
            online_store=online,
            offline_store=offline or {"type": "duckdb"},
            entity_key_serialization_version=3,
            repo_path=root,
            materialization=MaterializationConfig(online_write_batch_size=10_000),
        )
    )


def entity(name: str) -> Entity:
    """An entity with one string key, such as `job_id`."""
    return Entity(name=name, join_keys=[f"{name}_id"], value_type=ValueType.STRING)


def parquet(name: str, path: Path, **more: Any) -> FileSource:
    """Parquet with the two times that each of our histories has."""
    return FileSource(
        name=f"{name}_source",
        path=str(path),
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
        **more,
    )


def view(
    of: Entity,
    name: str,
    path: Path,
    features: dict[str, Any],
    *,
    ttl: timedelta = timedelta(0),
    tags: dict[str, str] | None = None,
    **more: Any,
) -> FeatureView:
    """A feature view over Parquet; `features` are types by name, `more` is for the source."""
    schema = {of.join_key: String, **features}
    return FeatureView(
        name=name,
        entities=[of],
        ttl=ttl,
        schema=[Field(name=field, dtype=dtype) for field, dtype in schema.items()],
        source=parquet(name, path, **more),
        tags=tags,
    )


def embedding_view(of: Entity, name: str, path: Path, width: int | None = None) -> FeatureView:
    """A view of vectors with their space; with its width only where that is promised."""
    tags = {"width": str(width)} if width else None
    return view(of, name, path, {"vector": Array(Float32), "space": String}, tags=tags)
