"""
A graph model as a folder: safetensors and JSON, checked by digest when it is read.

    save_model(folder, model, report)
    model, report = load_model(folder)

    <folder>/weights.safetensors
    <folder>/vocabulary.json   what the model knows by name
    <folder>/report.json       how it came to be, with settings, seed and id checksum
    <folder>/manifest.json     SHA-256 of the three, written last

"""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from star_features.errors import ArtefactError
from star_features.files import read_json, sha256, write_json
from star_features.graph.network import GraphModel
from star_features.graph.settings import GraphSettings
from star_features.graph.train import TrainReport
from star_features.graph.vocabulary import Vocabulary

LAYOUT = 1
FILES = ("weights.safetensors", "vocabulary.json", "report.json")


def save_model(folder: Path, model: GraphModel, report: TrainReport) -> dict[str, Any]:
    """Write the model and return its manifest, whose digests are its identity."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").unlink(missing_ok=True)
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, folder / "weights.safetensors")
    write_json(folder / "vocabulary.json", model.vocabulary.model_dump(mode="json"))
    write_json(folder / "report.json", report.to_json())
    manifest = {
        "layout": LAYOUT,
        "settings": model.settings.model_dump(mode="json"),
        "ids": report.graph["checksum"],
        "files": {name: sha256(folder / name) for name in FILES},
    }
    write_json(folder / "manifest.json", manifest)
    return manifest


def load_model(folder: Path) -> tuple[GraphModel, TrainReport]:
    """Read a model; ArtefactError if a file is absent or not what the manifest says."""
    manifest = read_manifest(folder)
    for name, wanted in manifest["files"].items():
        path = folder / name
        got = sha256(path) if path.is_file() else "no file"
        if got != wanted:
            raise ArtefactError(path, f"SHA-256 {got[:12]}", f"{wanted[:12]}: train it again")
    vocabulary = Vocabulary.model_validate(read_json(folder / "vocabulary.json"))
    model = GraphModel(vocabulary, GraphSettings.model_validate(manifest["settings"]))
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    report = read_json(folder / "report.json")
    return model.eval(), TrainReport(**report | {"curve": tuple(report["curve"])})


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
