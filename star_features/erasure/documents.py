"""
JSON without what is about someone: receipts, and what a graph model knows by name.

    scrub(path, subject)                      # a document: ids and texts become null
    forget_names(model_folder, subject, only_theirs)

A model keeps its weights but for one row: that of an id it had learned an embedding of. Values
that nobody else had (a rare skill) are named no more. The manifest then says the new digests, and
under `identity` the old one of the weights: every other coordinate means what it meant, so the
space keeps its id.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from star_features.erasure.subject import Subject
from star_features.files import read_json, sha256, write_json

WEIGHTS, VOCABULARY, MANIFEST = "weights.safetensors", "vocabulary.json", "manifest.json"


def scrub(path: Path, subject: Subject) -> int:
    """Null in place of ids and texts; returns 1 where there was something, else 0."""
    if not subject.named_in(path.read_text()):
        return 0
    write_json(path, subject.scrubbed(read_json(path)), sort_keys=False)
    return 1


def forget_names(
    folder: Path, subject: Subject, only_theirs: Mapping[str, Iterable[str]]
) -> dict[str, int]:
    """Names that a graph model knows and that are theirs alone; returns how many, by place.

    Args:
        only_theirs: by column of their table, the values that nobody else has.
    """
    if not (folder / VOCABULARY).exists() or not (folder / MANIFEST).exists():
        return {}
    vocabulary = read_json(folder / VOCABULARY)
    ids = vocabulary["ids"].get(subject.entity, [])
    rows = [row for row, id in enumerate(ids, start=1) if id in subject.ids]
    counts = {
        "id embeddings": _rename(ids, set(subject.ids)),
        "vocabulary": _forget_values(vocabulary, subject.entity, only_theirs),
    }
    if any(counts.values()):
        if rows:
            _zero_rows(folder, vocabulary, subject.entity, rows)
        _replace(folder, vocabulary)
    return {place: count for place, count in counts.items() if count}


def _forget_values(
    vocabulary: dict[str, Any], entity: str, only_theirs: Mapping[str, Iterable[str]]
) -> int:
    """A column's values are categories of the entity, or nodes of a type of the column's name."""
    forgotten = 0
    for column, values in only_theirs.items():
        for names in (
            vocabulary["categories"].get(entity, {}).get(column, []),
            vocabulary["ids"].get(column, []),
        ):
            forgotten += _rename(names, set(values))
    return forgotten


def _rename(names: list[str], gone: set[str]) -> int:
    """A name's place stays, since the weights are read by it; no input spells what stands there."""
    count = 0
    for place, name in enumerate(names):
        if name in gone:
            names[place] = f"\x00erased {place}"
            count += 1
    return count


def _zero_rows(folder: Path, vocabulary: dict[str, Any], entity: str, rows: list[int]) -> None:
    """Zero is what a value reads as that training never met."""
    with safe_open(folder / WEIGHTS, "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    name = f"inputs.{vocabulary['node_types'].index(entity)}.id.known"
    tensors[name] = tensors[name].copy()
    tensors[name][rows] = 0
    aside = folder / f".{WEIGHTS}.tmp"
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, aside, metadata)
    aside.replace(folder / WEIGHTS)


def _replace(folder: Path, vocabulary: dict[str, Any]) -> None:
    """The vocabulary last: while it has the names, a killed erasure is begun again."""
    aside = folder / f".{VOCABULARY}.tmp"
    write_json(aside, vocabulary)
    manifest = read_json(folder / MANIFEST)
    manifest.setdefault("identity", manifest["files"][WEIGHTS])
    manifest["files"] |= {WEIGHTS: sha256(folder / WEIGHTS), VOCABULARY: sha256(aside)}
    write_json(folder / MANIFEST, manifest)
    aside.replace(folder / VOCABULARY)
