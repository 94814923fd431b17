"""
The catalogue: which spaces exist, as a reviewed file (`spaces.toml`) beside the Feast definitions.

    catalogue = Catalogue.load(Path("feature_repo/spaces.toml"))
    catalogue.graph_version("v1").width

One entry is one version of one kind (text, graph) and makes two spaces, `member_…` and `job_…`:
a pair that is trained together, compared with each other and released together.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from star_features.errors import DataError, UsageError
from star_features.files import Settings

Entity = Literal["member", "job"]
ENTITIES: tuple[Entity, ...] = ("member", "job")
V = TypeVar("V")


class TextVersion(Settings):
    """A version of the text tower."""

    width: int
    metric: Literal["cosine"] = "cosine"
    encoder: dict[str, Any] = Field(default_factory=dict)
    """Settings of the encoder: see star_features.text.EncoderSettings."""
    training: dict[str, Any] | None = None
    """Settings of its training: see star_features.text.training.TrainSettings. None: frozen."""


class GraphVersion(Settings):
    """A version of the graph tower."""

    width: int
    metric: Literal["cosine"] = "cosine"
    text: str
    """The text version whose vectors its nodes carry, for example `v1`."""
    network: dict[str, Any] = Field(default_factory=dict)
    """Settings of the network and its training: see star_features.graph.GraphSettings."""


class Catalogue(Settings):
    """All versions, by kind and version name."""

    text: dict[str, TextVersion] = Field(default_factory=dict)
    graph: dict[str, GraphVersion] = Field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "Catalogue":
        """Read and check `spaces.toml`.

        Raises:
            DataError: the file is missing, is not TOML, or has an unknown key.
        """
        wanted = "Wanted [text.vN] and [graph.vN] tables, as in feature_repo/spaces.toml."
        try:
            catalogue = cls.model_validate(tomllib.loads(path.read_text()))
        except FileNotFoundError:
            raise DataError(path, "there is no such file", wanted) from None
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise DataError(path, str(error), wanted) from error
        for name, version in catalogue.graph.items():
            if version.text not in catalogue.text:
                raise DataError(
                    path,
                    f"[graph.{name}] asks for text version {version.text!r}",
                    f"Known text versions: {', '.join(catalogue.text) or 'none'}.",
                )
        return catalogue

    def text_version(self, version: str) -> TextVersion:
        """One entry; raises UsageError with the known ones."""
        return _named(self.text, "text", version)

    def graph_version(self, version: str) -> GraphVersion:
        """One entry; raises UsageError with the known ones."""
        return _named(self.graph, "graph", version)

    def of_view(self, name: str) -> TextVersion | GraphVersion:
        """The entry behind a feature view's name, such as `job_graph_v1`."""
        entity, kind, version = name.split("_")
        if entity not in ENTITIES or kind not in ("text", "graph"):
            raise UsageError(f"{name!r} is no space; wanted member|job _ text|graph _ vN")
        return self.text_version(version) if kind == "text" else self.graph_version(version)

    def spaces(self) -> list[str]:
        """Names of all spaces, sorted: the feature views this repository must define."""
        pairs = [("text", v) for v in self.text] + [("graph", v) for v in self.graph]
        return sorted(f"{entity}_{kind}_{v}" for entity in ENTITIES for kind, v in pairs)


def _named(known: Mapping[str, V], kind: str, version: str) -> V:
    if version not in known:
        raise UsageError(
            f"no {kind} version {version!r}; known: {', '.join(known) or 'none'} (spaces.toml)"
        )
    return known[version]
