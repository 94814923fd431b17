"""
Where every version stands, and whether the three places that say so agree.

    found = standing(catalogue, recorded)        # {("graph", "v1"): Standing("current", False)}

`spaces.toml` is the reviewed wish, the ledger the record of steps, Feast's registry what readers
meet. A home that never took a step has states all the same: they are read off `[stable]`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from star_features.catalogue import ENTITIES, KINDS, Catalogue, Kind, SpacePair
from star_features.ledger.releases import CANDIDATE, CURRENT, RETIRED, RETIRING, SHADOW
from star_features.release.pointers import Line, lines_of

Recorded = Mapping[tuple[str, str], str]
ONLINE = (SHADOW, CURRENT, RETIRING)
"""States in which a version is written to the online store."""


@dataclass(frozen=True)
class Standing:
    """The state of a version, and whether a step recorded it or `spaces.toml` implies it."""

    state: str
    recorded: bool


def standing(catalogue: Catalogue, recorded: Recorded) -> dict[tuple[Kind, str], Standing]:
    """Every version of the catalogue, and the retired ones that have left it."""
    lines = lines_of(catalogue).values()
    found: dict[tuple[Kind, str], Standing] = {}
    for kind in KINDS:
        known = any(row_kind == kind for row_kind, _ in recorded)
        versions = catalogue.text if kind == "text" else catalogue.graph
        for version in versions:
            if known:
                state = recorded.get((kind, version), CANDIDATE)
                found[kind, version] = Standing(state, (kind, version) in recorded)
            else:
                found[kind, version] = Standing(_implied(kind, version, list(lines)), False)
        for row_kind, version in recorded:
            if row_kind == kind and version not in versions:
                found[kind, version] = Standing(recorded[kind, version], True)
    return found


def current_of(found: Mapping[tuple[Kind, str], Standing], kind: Kind) -> str | None:
    """The version that fills what rankers read; None where nothing of the kind is served."""
    current = [v for (k, v), s in found.items() if k == kind and s.state == CURRENT]
    return current[-1] if current else None


def served_pairs(catalogue: Catalogue, recorded: Recorded) -> list[SpacePair]:
    """The pairs to be written to the online store: of a version that is in shadow or later, and
    whatever a line of `spaces.toml` names."""
    found = standing(catalogue, recorded)
    named = set(lines_of(catalogue).values())
    return [
        pair
        for pair in [*catalogue.native_pairs(), *catalogue.mapped_pairs()]
        if pair in named or found[pair.kind, pair.source].state in ONLINE
    ]


def retired_versions(recorded: Recorded) -> set[tuple[str, str]]:
    """Versions that nothing is computed for any more."""
    return {version for version, state in recorded.items() if state == RETIRED}


def disagreements(
    catalogue: Catalogue, recorded: Recorded, registered: Mapping[str, Mapping[str, str]] | None
) -> list[str]:
    """What `spaces.toml`, the ledger and Feast's registry say differently, in words.

    Args:
        registered: by service and alias (`job_star`), the view behind it; None before `star apply`.
    """
    found = standing(catalogue, recorded)
    said = []
    for line, pair in lines_of(catalogue).items():
        current = current_of(found, pair.kind)
        if found[pair.kind, pair.source].recorded and current != pair.source:
            said.append(
                f"spaces.toml says {_said(line, pair)}, but the ledger says that "
                f"{pair.kind} {current or 'nothing'} is current"
            )
    for service in catalogue.all_services() if registered is not None else ():
        for name, pair in catalogue.stable_pairs(service).items():
            for entity in ENTITIES:
                view = (registered or {}).get(service, {}).get(f"{entity}_{name}")
                if view != pair.view(entity):
                    said.append(
                        f"spaces.toml says {_said(Line(service, name), pair)}, but Feast's service "
                        f"{service} reads {view or 'nothing'} as {entity}_{name}"
                    )
    return said


def _said(line: Line, pair: SpacePair) -> str:
    return f'[{line.table}] {line.name} = "{pair}"'


def _implied(kind: Kind, version: str, lines: list[SpacePair]) -> str:
    """Without a record: what is read is current, whose language is spoken is on its way out."""
    of_kind = [pair for pair in lines if pair.kind == kind]
    newest = max((pair.source for pair in of_kind), key=_number, default=None)
    if version == newest:
        return CURRENT
    spoken = {pair.version for pair in of_kind} | {pair.source for pair in of_kind}
    return RETIRING if version in spoken else CANDIDATE


def _number(version: str) -> int:
    return int(version.removeprefix("v"))
