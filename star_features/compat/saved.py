"""
Maps and statistics on disk: a folder with one safetensors file and one JSON, named by content.

    folder = save_map(map, home)        # home/job_graph_v2--job_graph_v1@5d0c41b2aa90
    map = load_map(folder)

A folder is written aside and renamed, so it is whole or absent, and never changes afterwards: a
refit is a new folder. The JSON holds the SHA-256 of the tensors and a digest of itself; whatever
was truncated or edited is refused.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from star_features.compat.drift import Domain, Lengths, SpaceStatistics
from star_features.compat.maps import Map, Receipt
from star_features.compat.moments import Moments
from star_features.compat.pairs import fit_command, name_of
from star_features.compat.score import Calibration
from star_features.errors import ArtefactError, MissingStage
from star_features.files import read_json, sha256, write_json
from star_features.spaces import digest

FORMAT = 1
Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class _Kind:
    """What a folder holds: names its two files, and the command that makes it anew."""

    stem: str
    command: str


MAP = _Kind("map", "star compat fit FROM TO")
STATISTICS = _Kind("statistics", "star materialize SIGNAL")
DOMAIN = _Kind("domain", "star materialize SIGNAL")


def save_map(map: Map, home: Path) -> Path:
    """Write a map below `home`; the same map is written once. Returns its folder."""
    tensors: Tensors = {"weight_DE": map.weight_DE, "bias_E": map.bias_E}
    for consumer, calibration in map.calibrations.items():
        tensors[f"calibration.mapped.{consumer}"] = calibration.mapped_K
        tensors[f"calibration.native.{consumer}"] = calibration.native_K
    facts = {
        "source": map.source,
        "target": map.target,
        "method": map.method,
        "strength": map.strength,
        "scale": map.scale,
        "receipt": map.receipt.model_dump(mode="json"),
        "calibrations": sorted(map.calibrations),
    }
    return _save(home, MAP, f"{name_of(map.source)}--{name_of(map.target)}", tensors, facts)


def load_map(folder: Path, *, source: str | None = None, target: str | None = None) -> Map:
    """
    Read a map, refusing one that was truncated or edited.

    Args:
        folder: what `save_map` returned.
        source, target: the spaces as they are today; a map fitted when one of them had another
            identity under the same name is refused.
    """
    facts, tensors = _load(folder, MAP)
    for end, wanted in (("source", source), ("target", target)):
        if wanted is not None and facts[end] != wanted:
            raise ArtefactError(
                folder,
                f"its {end} is {facts[end]}, and that space is {wanted} now",
                "a map between today's spaces. Fit it anew:"
                f" {fit_command(source or facts['source'], target or facts['target'])}",
            )
    with _readable(folder, MAP):
        return Map(
            source=facts["source"],
            target=facts["target"],
            weight_DE=tensors["weight_DE"],
            bias_E=tensors["bias_E"],
            method=facts["method"],
            strength=facts["strength"],
            scale=facts["scale"],
            receipt=Receipt.model_validate(facts["receipt"]),
            calibrations={
                consumer: Calibration(
                    tensors[f"calibration.mapped.{consumer}"],
                    tensors[f"calibration.native.{consumer}"],
                )
                for consumer in facts["calibrations"]
            },
        )


def save_statistics(statistics: SpaceStatistics, home: Path) -> Path:
    """Write the statistics of a space below `home`. Returns their folder."""
    moments, lengths = statistics.moments, statistics.lengths
    tensors: Tensors = {"mean_D": moments.mean_D, "scatter_DD": moments.scatter_DD}
    facts = {
        "space": statistics.space,
        "count": moments.count,
        "zero_rows": statistics.zero_rows,
        "lengths": [lengths.mean, lengths.square, lengths.least, lengths.greatest],
    }
    return _save(home, STATISTICS, name_of(statistics.space), tensors, facts)


def load_statistics(folder: Path) -> SpaceStatistics:
    """Read what `save_statistics` wrote, refusing it if truncated or edited."""
    facts, tensors = _load(folder, STATISTICS)
    with _readable(folder, STATISTICS):
        statistics = SpaceStatistics(facts["space"], len(tensors["mean_D"]))
        statistics.moments = Moments(len(tensors["mean_D"]))
        statistics.moments.count = facts["count"]
        statistics.moments.mean_D = tensors["mean_D"]
        statistics.moments.scatter_DD = tensors["scatter_DD"]
        statistics.lengths = Lengths(*facts["lengths"])
        statistics.zero_rows = facts["zero_rows"]
        return statistics


def save_domain(domain: Domain, home: Path) -> Path:
    """Write the region of the reference rows below `home`. Returns its folder."""
    tensors: Tensors = {"mean_D": domain.mean_D, "whitener_DD": domain.whitener_DD}
    facts = {"space": domain.space, "radius": domain.radius}
    return _save(home, DOMAIN, f"{name_of(domain.space)}-domain", tensors, facts)


def load_domain(folder: Path) -> Domain:
    """Read what `save_domain` wrote, refusing it if truncated or edited."""
    facts, tensors = _load(folder, DOMAIN)
    with _readable(folder, DOMAIN):
        return Domain(facts["space"], tensors["mean_D"], tensors["whitener_DD"], facts["radius"])


@contextmanager
def _readable(folder: Path, kind: _Kind) -> Iterator[None]:
    """Turn a missing or misshapen entry into an ArtefactError."""
    try:
        yield
    except (KeyError, TypeError, ValidationError) as error:
        raise _broken(folder, kind, f"an entry is missing or misshapen: {error}") from error


def _save(home: Path, kind: _Kind, name: str, tensors: Tensors, facts: Mapping[str, Any]) -> Path:
    aside = home / f".{name}.{os.getpid()}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    whole = {key: np.ascontiguousarray(array) for key, array in tensors.items()}
    save_file(whole, aside / f"{kind.stem}.safetensors")
    content = dict(facts) | {
        "format": FORMAT,
        "tensors_sha256": sha256(aside / f"{kind.stem}.safetensors"),
    }
    write_json(aside / f"{kind.stem}.json", content | {"content_sha256": digest(content)})
    folder = home / f"{name}@{digest(content, 12)}"
    if folder.exists():
        shutil.rmtree(aside)
    else:
        os.rename(aside, folder)
    return folder


def _load(folder: Path, kind: _Kind) -> tuple[dict[str, Any], Tensors]:
    described, tensors = folder / f"{kind.stem}.json", folder / f"{kind.stem}.safetensors"
    if not described.is_file():
        raise MissingStage(described, _command(folder, kind))
    try:
        facts = read_json(described)
        stated = facts.pop("content_sha256", None)
    except (ValueError, AttributeError) as error:
        raise _broken(described, kind, f"no JSON object ({error})") from error
    if stated != digest(facts):
        raise _broken(described, kind, "its content is not what its own digest says")
    if facts.get("format") != FORMAT:
        raise _broken(described, kind, f"format {facts.get('format')}, not {FORMAT}")
    if not tensors.is_file():
        raise _broken(tensors, kind, "not there")
    if sha256(tensors) != facts["tensors_sha256"]:
        raise _broken(tensors, kind, "truncated or edited: its SHA-256 is not the stated one")
    try:
        return facts, load_file(tensors)
    except SafetensorError as error:
        raise _broken(tensors, kind, f"no safetensors file ({error})") from error


def _broken(path: Path, kind: _Kind, got: str) -> ArtefactError:
    folder = path if path.suffix not in (".json", ".safetensors") else path.parent
    wanted = f"the folder as it was written. Remove it and make it anew: {_command(folder, kind)}"
    return ArtefactError(path, got, wanted)


def _command(folder: Path, kind: _Kind) -> str:
    """The command that makes the folder anew, with the names that stand in the folder's name."""
    source, between, target = folder.name.partition("--")
    return fit_command(source, target) if kind == MAP and between else kind.command
