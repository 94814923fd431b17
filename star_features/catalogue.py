"""
The catalogue: which spaces exist, as a reviewed file (`spaces.toml`) beside the Feast definitions.

    catalogue = Catalogue.load(Path("feature_repo/spaces.toml"))
    catalogue.graph_version("v1").width
    catalogue.stable_pairs()["star"].view("job")        # job_graph_v1, or job_graph_v1_from_v2

One entry is one version of one kind (text, graph) and makes two spaces, `member_…` and `job_…`:
a pair that is trained together, compared with each other and released together. A `[mapped]` entry
is an old version's pair as filled by a newer model through its maps: views of their own, in the
old spaces. `[stable]` says which pair rankers read under each stable name, in the service `ranker`;
`[services.NAME]` is a further service, for rankers that have moved to another language or have not
yet: what it does not name is as in `[stable]`.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator

from star_features.errors import DataError, UsageError
from star_features.files import Settings
from star_features.graph.settings import JointSettings

Entity = Literal["member", "job"]
ENTITIES: tuple[Entity, ...] = ("member", "job")
Kind = Literal["text", "graph"]
KINDS: tuple[Kind, ...] = ("text", "graph")

PAIR = re.compile(r"^(?P<kind>text|graph)\.(?P<version>v\d+)(_from_(?P<filled_by>v\d+))?$")
VIEW = re.compile(r"^(?P<entity>member|job)_(?P<kind>text|graph)_(?P<name>v\d+(_from_v\d+)?)$")
STABLE = re.compile(r"^[a-z]+$")
SERVICE = re.compile(r"^[a-z][a-z0-9_]*$")
BETWEEN = "_from_"
RANKER = "ranker"
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
    compat: JointSettings | None = None
    """Older versions that it is trained together with maps into; None: trained alone."""


class Mapped(Settings):
    """An old version's spaces, filled by newer models through direct maps."""

    filled_by: tuple[str, ...] = Field(alias="from", min_length=1)
    """The newer version, `"v2"`; or several, `["v2", "v3"]`, while readers move to the next."""

    @field_validator("filled_by", mode="before")
    @classmethod
    def _one_is_enough(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


@dataclass(frozen=True)
class SpacePair:
    """
    The member and the job side of one version, as one source fills them.

    Attributes:
        filled_by: the version whose vectors are mapped into these spaces; None for its own.
    """

    kind: Kind
    version: str
    filled_by: str | None = None

    @classmethod
    def parse(cls, text: str) -> "SpacePair":
        """`graph.v1`, or `graph.v1_from_v2`, as `[stable]` names them."""
        found = PAIR.match(text)
        if not found:
            raise UsageError(f"{text!r} is no pair; wanted KIND.vN or KIND.vN_from_vM: graph.v1")
        kind: Kind = "text" if found["kind"] == "text" else "graph"
        return cls(kind, found["version"], found["filled_by"])

    @property
    def source(self) -> str:
        """The version whose model makes its vectors: its own, or the one that fills it."""
        return self.filled_by or self.version

    @property
    def name(self) -> str:
        """`v1`, or `v1_from_v2`: the end of its views' and stages' names."""
        return self.version + (f"{BETWEEN}{self.filled_by}" if self.filled_by else "")

    def view(self, entity: Entity) -> str:
        """The feature view of one side: `job_graph_v1_from_v2`."""
        return f"{entity}_{self.kind}_{self.name}"

    def __str__(self) -> str:
        return f"{self.kind}.{self.name}"


class Catalogue(Settings):
    """All versions by kind and name, what fills them, and what rankers read."""

    text: dict[str, TextVersion] = Field(default_factory=dict)
    graph: dict[str, GraphVersion] = Field(default_factory=dict)
    mapped: dict[Kind, dict[str, Mapped]] = Field(default_factory=dict)
    """By kind and old version: the newer versions that fill its spaces too."""
    stable: dict[str, str] = Field(default_factory=dict)
    """By stable name without its side (`star`): the pair behind it, such as `graph.v1`."""
    services: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Further services than `ranker`: by stable name, the pair that this one reads instead."""
    gate: dict[str, Any] = Field(default_factory=dict)
    """How strict a release is: see star_features.release.settings.GateSettings."""

    @classmethod
    def load(cls, path: Path) -> "Catalogue":
        """Read and check `spaces.toml`.

        Raises:
            DataError: the file is missing, is not TOML, has an unknown key, names a version that
                is not there, or asks for a chain of maps.
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
        catalogue._refuse_bad_targets(path)
        catalogue._refuse_bad_maps(path)
        catalogue._refuse_bad_names(path)
        return catalogue

    def text_version(self, version: str) -> TextVersion:
        """One entry; raises UsageError with the known ones."""
        return _named(self.text, "text", version)

    def graph_version(self, version: str) -> GraphVersion:
        """One entry; raises UsageError with the known ones."""
        return _named(self.graph, "graph", version)

    def version(self, kind: Kind, version: str) -> TextVersion | GraphVersion:
        """One entry; raises UsageError with the known ones."""
        return self.text_version(version) if kind == "text" else self.graph_version(version)

    def pair_of_view(self, name: str) -> SpacePair:
        """The pair that a feature view such as `job_graph_v1_from_v2` is one side of."""
        found = VIEW.match(name)
        if not found:
            raise UsageError(f"{name!r} is no space; wanted member|job _ text|graph _ vN")
        return SpacePair.parse(f"{found['kind']}.{found['name']}")

    def of_view(self, name: str) -> TextVersion | GraphVersion:
        """The entry that says what a view's vectors look like: of a mapped view, the old one."""
        pair = self.pair_of_view(name)
        return self.version(pair.kind, pair.version)

    def native_pairs(self) -> list[SpacePair]:
        """Every version's own pair of spaces."""
        return [SpacePair(kind, version) for kind in KINDS for version in self._of_kind(kind)]

    def mapped_pairs(self) -> list[SpacePair]:
        """Every pair that is filled through maps."""
        return [
            SpacePair(kind, old, new)
            for kind in KINDS
            for old, entry in self.mapped.get(kind, {}).items()
            for new in entry.filled_by
        ]

    def stable_pairs(self, service: str = RANKER) -> dict[str, SpacePair]:
        """Which pair the rankers of a service read, by stable name without its side."""
        if service != RANKER and service not in self.services:
            known = ", ".join(self.all_services())
            raise UsageError(f"no service {service!r}; known: {known} (spaces.toml)")
        lines = self.stable | self.services.get(service, {})
        return {name: SpacePair.parse(pair) for name, pair in lines.items()}

    def all_services(self) -> list[str]:
        """Names of the services that rankers read, `ranker` first."""
        return [RANKER, *self.services]

    def spaces(self) -> list[str]:
        """Names of all spaces, sorted."""
        return _views(self.native_pairs())

    def views(self) -> list[str]:
        """Names of all feature views of vectors, mapped ones too: what the repository defines."""
        return _views([*self.native_pairs(), *self.mapped_pairs()])

    def _of_kind(self, kind: Kind) -> Mapping[str, TextVersion | GraphVersion]:
        return self.text if kind == "text" else self.graph

    def _refuse_bad_targets(self, path: Path) -> None:
        for name, version in self.graph.items():
            older = [known for known in self.graph if _number(known) < _number(name)]
            for target in version.compat.targets if version.compat else ():
                if target not in older:
                    raise DataError(
                        path,
                        f"[graph.{name}.compat] has the target {target!r}",
                        f"Wanted older graph versions; known: {', '.join(older) or 'none'}.",
                    )

    def _refuse_bad_maps(self, path: Path) -> None:
        for pair in self.mapped_pairs():
            entry = f"[mapped.{pair.kind}.{pair.version}] from = {pair.filled_by!r}"
            ends = (pair.version, str(pair.filled_by))
            if chained := [end for end in ends if BETWEEN in end]:
                direct = ends[1].split(BETWEEN)[-1], ends[0].split(BETWEEN)[0]
                raise DataError(
                    path,
                    f"{entry} would be a chain: {chained[0]} is itself filled through a map",
                    "Maps are direct, because every further link loses more than a fit of its own."
                    f' Wanted [mapped.{pair.kind}.{direct[1]}] from = "{direct[0]}".',
                )
            known = self._of_kind(pair.kind)
            if unknown := [end for end in ends if end not in known]:
                raise DataError(
                    path,
                    f"{entry}, but there is no {pair.kind} version {unknown[0]!r}",
                    f"Known {pair.kind} versions: {', '.join(known) or 'none'}.",
                )
            if ends[0] == ends[1]:
                raise DataError(path, f"{entry} maps a version into itself", "Wanted another one.")

    def _refuse_bad_names(self, path: Path) -> None:
        known = [str(pair) for pair in [*self.native_pairs(), *self.mapped_pairs()]]
        tables = {"stable": self.stable} | {f"services.{n}": t for n, t in self.services.items()}
        for table, lines in tables.items():
            for name, pair in lines.items():
                if not STABLE.match(name) or pair not in known:
                    raise DataError(
                        path,
                        f'[{table}] {name} = "{pair}"',
                        f"Wanted a name of small letters and one of: {', '.join(known)}.",
                    )
        for service in self.services:
            sides = [f"{known}_{side}" for known in self.all_services() for side in ENTITIES]
            if not SERVICE.match(service) or service in (RANKER, *sides):
                raise DataError(
                    path,
                    f"[services.{service}]",
                    f"Wanted a name of small letters that is not {RANKER} and names no side.",
                )


def _views(pairs: list[SpacePair]) -> list[str]:
    return sorted(pair.view(entity) for entity in ENTITIES for pair in pairs)


def _number(version: str) -> int:
    digits = version.removeprefix("v")
    return int(digits) if digits.isdigit() else 0


def _named(known: Mapping[str, V], kind: str, version: str) -> V:
    if version not in known:
        raise UsageError(
            f"no {kind} version {version!r}; known: {', '.join(known) or 'none'} (spaces.toml)"
        )
    return known[version]
