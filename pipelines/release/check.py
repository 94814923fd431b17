"""
The gate: may a version meet its readers? Measured, judged, drawn, recorded.

    checked = run(home, "graph", "v2", Why("mia"))       # measures anew
    checked = fresh(desk, "graph", "v2")                 # the last verdict, if it is of today

Its table, picture and JSON lie in `$STAR_HOME/releases/graph_v2/`. A verdict is of today while the
vectors, the maps, the consumers, the labels and the bounds are those that it was taken on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.home import Home
from pipelines.receipts import read_receipt
from pipelines.release.desk import Desk, Why, at_desk
from pipelines.release.gauge import Found, consumer_figures, map_figures
from star_features.catalogue import Kind, SpacePair
from star_features.errors import GateRed
from star_features.files import read_json, write_json
from star_features.ledger.consumers import Registered, consumers
from star_features.ledger.releases import Step, take_step
from star_features.release.gate import Bound, Verdict, judge
from star_features.release.picture import draw
from star_features.release.pointers import Moves, moves_to
from star_features.release.settings import GateSettings
from star_features.spaces import digest
from star_features.tables.canonical import Tables

CHECK = "check"
JSON, PICTURE = "gate.json", "gate.png"


@dataclass(frozen=True)
class Checked:
    """A verdict, and where it lies."""

    verdict: Verdict
    folder: Path
    simulated: bool


def run(
    home: Home, kind: Kind, version: str, why: Why, languages: Mapping[str, str] | None = None
) -> Checked:
    """Take every figure of a version, judge, and record what came of it; raises nothing for red.

    Args:
        languages: as of a promotion: see `moves_to`.
    """
    with at_desk(home) as desk:
        state = desk.state(kind, version)
        moves = moves_to(desk.catalogue, kind, version, languages)
        gate = GateSettings.model_validate(desk.catalogue.gate)
        key = _key(desk, kind, version, moves)
        known = _known(desk)
        mapped = mapped_pairs(moves)
        maps = map_figures(desk, mapped, gate)
        found = consumer_figures(desk, moves, known, gate) if mapped else []
        verdict = judge(maps, [one.figures for one in found], gate, _notes(mapped, found))
        simulated = Tables(home.tables).simulated
        folder = home.release(kind, version)
        content = as_json(verdict) | {"key": key, "at_us": desk.now_us, "simulated": simulated}
        write_json(folder / JSON, content)
        draw(folder / PICTURE, f"{kind} {version}", verdict, simulated=simulated)
        numbers = {
            "green": verdict.green,
            "key": key,
            "failed": [said(bound) for bound in verdict.failed],
        }
        with desk.ledger.begin() as db:
            take_step(db, desk.step(CHECK, kind, version, why, numbers), state)
        return Checked(verdict, folder, simulated)


def fresh(
    desk: Desk, kind: Kind, version: str, languages: Mapping[str, str] | None = None
) -> Step | None:
    """The last check of a version, if nothing that it was taken on has changed since."""
    of_version = [s for s in desk.steps_of(kind) if s.action == CHECK and s.version == version]
    if not of_version:
        return None
    moves = moves_to(desk.catalogue, kind, version, languages)
    last = of_version[-1]
    return last if last.numbers["key"] == _key(desk, kind, version, moves) else None


def red(kind: str, version: str, failed: Sequence[str]) -> GateRed:
    """The error that says what failed, and what can be done."""
    return GateRed(
        f"{kind} {version} does not keep what its readers need:\n  "
        + "\n  ".join(failed)
        + f"\nFit the maps on newer pairs: star compat fit {kind} {version} VERSION; or "
        "go past the gate, on the record: "
        f'star release promote {kind} {version} --force --reason "…"'
    )


def _key(desk: Desk, kind: Kind, version: str, moves: Moves) -> str:
    """Digest of everything that a verdict depends on."""
    home = desk.home
    pairs = mapped_pairs(moves)
    stages = [home.tower(SpacePair(kind, version)), "ingest"]
    stages += [stage for pair in pairs for stage in (home.fit(pair), home.tower(_old(pair)))]
    runs = {stage: read_receipt(home, stage).run for stage in stages}
    after = sorted(str(pair) for pair in pairs)
    return digest([after, runs, [asdict(one) for one in _known(desk)], desk.catalogue.gate])


def mapped_pairs(moves: Moves) -> list[SpacePair]:
    """The pairs filled through maps that readers would meet."""
    return sorted({after for _, after in moves.values() if after.filled_by}, key=str)


def as_json(verdict: Verdict) -> dict[str, Any]:
    """Every figure, as `gate.json` holds it."""
    return {
        "green": verdict.green,
        "maps": [asdict(one) | {"over_chance": one.over_chance} for one in verdict.maps],
        "consumers": [
            asdict(one) | {"recovered": one.recovered, "staying": one.staying}
            for one in verdict.consumers
        ],
        "bounds": [asdict(bound) | {"met": bound.met} for bound in verdict.bounds],
        "notes": list(verdict.notes),
    }


def _old(pair: SpacePair) -> SpacePair:
    return SpacePair(pair.kind, pair.version)


def _known(desk: Desk) -> list[Registered]:
    with desk.ledger.read() as db:
        return consumers(db)


def _notes(mapped: Sequence[SpacePair], found: Sequence[Found]) -> list[str]:
    if not mapped:
        return ["no reader would meet a mapped pair: there is nothing to measure"]
    if not found:
        return ["nobody is registered who reads what would move: only the maps were measured"]
    return []


def said(bound: Bound) -> str:
    """One figure beside its bound, in words."""
    value = "no figure" if bound.value is None else f"{bound.value:.4f}"
    note = f" ({bound.note})" if bound.note else ""
    wanted = "at most" if bound.at_most else "at least"
    return f"{bound.of}: {bound.what} {value}{note}, wanted {wanted} {bound.bound:g}"


def last_figures(home: Home, kind: str, version: str) -> Mapping[str, Any] | None:
    """What `gate.json` says of each consumer by name; None where nothing was measured."""
    path = home.release(kind, version) / JSON
    if not path.exists():
        return None
    return {one["name"]: one for one in read_json(path)["consumers"]}
