"""
A graph model as a folder: safetensors and JSON, checked by digest when it is read.

    save_model(folder, model, report)
    model, report = load_model(folder)

    <folder>/weights.safetensors
    <folder>/vocabulary.json   what the model knows by name
    <folder>/report.json       how it came to be, with settings, seed and id checksum
    <folder>/maps.safetensors  only if trained jointly: by old space id, the map into it
    <folder>/manifest.json     SHA-256 of them all, written last

Shapes: D width of the tower, E of an old one.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from star_features.errors import ArtefactError
from star_features.files import read_json, sha256, write_json
from star_features.graph.job_graph import Floats
from star_features.graph.network import GraphModel
from star_features.graph.settings import GraphSettings
from star_features.graph.train import TrainReport
from star_features.graph.vocabulary import Vocabulary

LAYOUT = 1
FILES = ("weights.safetensors", "vocabulary.json", "report.json")
MAPS = "maps.safetensors"
WEIGHT, BIAS = "/weight_DE", "/bias_E"
Maps = Mapping[str, tuple[Floats, Floats]]


def save_model(
    folder: Path, model: GraphModel, report: TrainReport, maps: Maps | None = None
) -> dict[str, Any]:
    """Write the model and return its manifest, whose digests are its identity.

    Args:
        maps: by old space id, weight and bias that were trained together with the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").unlink(missing_ok=True)
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, folder / "weights.safetensors")
    write_json(folder / "vocabulary.json", model.vocabulary.model_dump(mode="json"))
    write_json(folder / "report.json", report.to_json())
    if maps:
        arrays = {space + WEIGHT: weight_DE for space, (weight_DE, _) in maps.items()}
        save_arrays(
            arrays | {space + BIAS: bias_E for space, (_, bias_E) in maps.items()}, folder / MAPS
        )
    files = (*FILES, MAPS) if maps else FILES
    manifest = {
        "layout": LAYOUT,
        "settings": model.settings.model_dump(mode="json"),
        "ids": report.graph["checksum"],
        "files": {name: sha256(folder / name) for name in files},
    }
    write_json(folder / "manifest.json", manifest)
    return manifest


def load_model(folder: Path) -> tuple[GraphModel, TrainReport]:
    """Read a model; ArtefactError if a file is absent or not what the manifest says."""
    manifest = read_manifest(folder)
    for name in manifest["files"]:
        _check(folder, name, manifest)
    vocabulary = Vocabulary.model_validate(read_json(folder / "vocabulary.json"))
    model = GraphModel(vocabulary, GraphSettings.model_validate(manifest["settings"]))
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    report = read_json(folder / "report.json")
    return model.eval(), TrainReport(**report | {"curve": tuple(report["curve"])})


def load_maps(folder: Path) -> dict[str, tuple[Floats, Floats]]:
    """By old space id, the maps that were trained with the model; none where it trained alone."""
    manifest = read_manifest(folder)
    if MAPS not in manifest["files"]:
        return {}
    _check(folder, MAPS, manifest)
    arrays = load_arrays(folder / MAPS)
    spaces = [name.removesuffix(BIAS) for name in arrays if name.endswith(BIAS)]
    return {space: (arrays[space + WEIGHT], arrays[space + BIAS]) for space in spaces}


def _check(folder: Path, name: str, manifest: Mapping[str, Any]) -> None:
    path, wanted = folder / name, manifest["files"][name]
    got = sha256(path) if path.is_file() else "no file"
    if got != wanted:
        raise ArtefactError(path, f"SHA-256 {got[:12]}", f"{wanted[:12]}: train it again")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a model folder; it needs no torch weights to be read."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise ArtefactError(path, "no file", "a folder written by save_model: run star graph")
    try:
        manifest: dict[str, Any] = read_json(path)
    except json.JSONDecodeError as error:
        raise ArtefactError(path, f"no JSON ({error.msg})", "the manifest as written") from error
    if manifest.get("layout") != LAYOUT:
        raise ArtefactError(path, f"layout {manifest.get('layout')}", f"layout {LAYOUT}")
    return manifest


def identity_of(manifest: dict[str, Any]) -> str:
    """What names the model's space: the weights as trained, even if a row of an erased id went."""
    return str(manifest.get("identity", manifest["files"]["weights.safetensors"]))
