"""
Where every version stands, what readers read, and what is to be done next.

    found = status(home)
    steps_to = plan(home, "graph", "v2")
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.home import Home
from pipelines.receipts import command_of, find_receipt
from pipelines.release.check import fresh
from pipelines.release.desk import Desk, at_desk
from star_features.catalogue import Kind, SpacePair
from star_features.errors import MissingStage, UsageError
from star_features.ledger.consumers import Registered, consumers
from star_features.ledger.releases import CANDIDATE, CURRENT, RETIRED, Step, under_way
from star_features.release.pointers import Line, lines_of, moves_to
from star_features.release.repoint import registered
from star_features.release.standing import Standing, disagreements


@dataclass(frozen=True)
class Status:
    """Everything `star release status` shows.

    Attributes:
        lines: which pair readers read, line by line.
        disagreements: where spaces.toml, the ledger and Feast's registry differ.
        under_way: steps that were begun and never ended.
    """

    versions: Mapping[tuple[Kind, str], Standing]
    since_us: Mapping[tuple[str, str], int]
    lines: Mapping[Line, SpacePair]
    disagreements: list[str]
    under_way: list[Step]
    steps: list[Step]
    consumers: list[Registered]


@dataclass(frozen=True)
class Item:
    """One line of a plan: what has to be true, whether it is, and the command that makes it so."""

    what: str
    done: bool
    command: str = ""


def status(home: Home) -> Status:
    """Read the three places; changes nothing."""
    with at_desk(home) as desk:
        with desk.ledger.read() as db:
            known = consumers(db)
        kinds = sorted({step.kind for step in desk.taken})
        begun = (under_way([s for s in desk.taken if s.kind == kind]) for kind in kinds)
        return Status(
            versions=desk.standing,
            since_us={(s.kind, s.version): s.at_us for s in desk.taken if _changed(s)},
            lines=lines_of(desk.catalogue),
            disagreements=disagreements(desk.catalogue, desk.recorded, _registered(desk)),
            under_way=[step for step in begun if step],
            steps=desk.taken,
            consumers=known,
        )


def plan(home: Home, kind: Kind, version: str) -> list[Item]:
    """What stands between a version and its readers, in order."""
    with at_desk(home) as desk:
        state = desk.state(kind, version)
        if state == RETIRED:
            raise UsageError(f"{kind} {version} is retired; add the next version to spaces.toml")
        items = [_computed(home, SpacePair(kind, version))]
        try:
            moves = moves_to(desk.catalogue, kind, version)
        except UsageError as missing:
            return [*items, Item(str(missing), False)]
        for after in sorted({after for _, after in moves.values() if after.filled_by}, key=str):
            items += _mapped(home, after)
        shadow = f"star release shadow {kind} {version}"
        items.append(Item("in shadow: written beside what is served", state != CANDIDATE, shadow))
        items.append(_gate(desk, kind, version))
        for line, (before, after) in moves.items():
            what = f"[{line.table}] {line.name}: {before} → {after}"
            items.append(Item(what, before == after, f"star release promote {kind} {version}"))
        old = {pair.source for pair, _ in moves.values()} - {version}
        return items + [
            Item(f"{kind} {one} retired, once nobody reads its language", False) for one in old
        ]


def _gate(desk: Desk, kind: Kind, version: str) -> Item:
    try:
        last = fresh(desk, kind, version)
    except MissingStage:
        last = None
    said = "not of today" if last is None else "green" if last.numbers["green"] else "red"
    green = last is not None and bool(last.numbers["green"])
    return Item(f"the gate: {said}", green, f"star release check {kind} {version}")


def _computed(home: Home, pair: SpacePair) -> Item:
    stage = home.tower(pair)
    receipt = find_receipt(home, stage)
    done = receipt is not None and "not_trained" not in receipt.facts
    return Item(f"vectors of {pair}, members and jobs", done, command_of(stage))


def _mapped(home: Home, pair: SpacePair) -> list[Item]:
    fit, fill = home.fit(pair), home.tower(pair)
    return [
        Item(f"maps {pair.filled_by} → {pair.version}", _has(home, fit), command_of(fit)),
        Item(f"{pair} filled through them", _has(home, fill), command_of(fill)),
    ]


def _has(home: Home, stage: str) -> bool:
    return find_receipt(home, stage) is not None


def _registered(desk: Desk) -> dict[str, dict[str, str]] | None:
    if not desk.has_registry():
        return None
    try:
        return registered(desk.store())
    except MissingStage:
        return None


def _changed(step: Step) -> bool:
    return step.from_state != step.to_state or step.to_state == CURRENT
