"""
Feast's request as data: one lookup for each feature view, all names settled.

    lookups = [lookup_of(view, refs, repo_path, full_names) for view in feature_views]
    check_names(label_columns, lookups)

A column has up to three names: in the file, in the view (`field_mapping`), and in the result.
After this file only the first and the last are left.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from star_features.errors import DataError
from star_features.offline.sources import fields_of, local_parquet


@dataclass(frozen=True)
class Lookup:
    """What the labels want from one feature view.

    Attributes:
        view: its name, for messages.
        files: the Parquet files of its history.
        keys: label column -> file column, for each join key; empty joins on time alone.
        event: file column with the time a row became true.
        created: file column with the time a row was computed, if the source names one.
        ttl: rows older than this at the label's time count as missing; None keeps all.
        features: result column -> field in the files.
    """

    view: str
    files: tuple[Path, ...]
    keys: dict[str, str]
    event: str
    created: str | None
    ttl: timedelta | None
    features: dict[str, pa.Field]


def lookup_of(view: Any, refs: Sequence[str], repo: Path | None, full_names: bool) -> Lookup | None:
    """The lookup of one feature view; None where its source is not ours to read.

    Raises:
        DataError: the source is ours, and there is not one file in it.
    """
    source = view.batch_source
    files = local_parquet(source, repo)
    if files is None:
        return None
    if not files:
        wanted = f"Wanted the history of {view.name}: run `star materialize` or write one row."
        raise DataError(source.path, "there is no Parquet file", wanted)
    in_file = {new: old for old, new in source.field_mapping.items()}
    columns = {
        result_name(view, feature, full_names): in_file.get(feature, feature)
        for feature in features_asked(view, refs)
    }
    fields = fields_of(files, list(columns.values()))
    if any(column not in fields for column in columns.values()):
        return None  # for example the value of a Hive folder, which Feast's own reader adds
    return Lookup(
        view=view.name,
        files=tuple(files),
        keys={label: in_file.get(key, key) for key, label in join_keys(view).items()},
        event=in_file.get(source.timestamp_field, source.timestamp_field),
        created=in_file.get(source.created_timestamp_column, source.created_timestamp_column)
        or None,
        ttl=view.ttl or None,  # Feast's zero means for ever
        features={name: fields[column] for name, column in columns.items()},
    )


def join_keys(view: Any) -> dict[str, str]:
    """The view's join keys -> the label columns that hold them; none without an entity."""
    mapped: dict[str, str] = view.projection.join_key_map
    keys = mapped or {column.name: column.name for column in view.entity_columns}
    return {key: label for key, label in keys.items() if key != "__dummy_id"}


def features_asked(view: Any, refs: Iterable[str]) -> list[str]:
    """The features that `alias:feature` references name of this view, in their order."""
    prefix = f"{view.projection.name_to_use()}:"
    return [ref.removeprefix(prefix) for ref in refs if ref.startswith(prefix)]


def result_name(view: Any, feature: str, full_names: bool) -> str:
    name = view.projection.name_alias or view.name
    return f"{name}__{feature}" if full_names else feature


def check_names(labels: Sequence[str], lookups: Iterable[Lookup]) -> None:
    """Refuse labels that lack a join key, and two columns of one name.

    Raises:
        DataError: with the columns that are missing, or named twice.
    """
    taken = set(labels)
    for lookup in lookups:
        if missing := [key for key in lookup.keys if key not in labels]:
            raise DataError(
                "labels",
                f"have no column {', '.join(missing)}, which {lookup.view} is joined on",
                f"Wanted the join keys beside the time; arrived: {', '.join(labels)}.",
            )
        if twice := [name for name in lookup.features if name in taken]:
            raise DataError(
                "labels",
                f"{', '.join(twice)} would stand in the result twice, once from {lookup.view}",
                "Wanted one column a name: rename the label column, or ask with"
                " full_feature_names=True.",
            )
        taken |= set(lookup.features)
