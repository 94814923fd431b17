"""
The beginning and the end of a version: in shadow, written beside what is served; and retired.

    stages = shadow(home, "graph", "v2", why)      # then run them: star release shadow graph v2
    retire(home, "graph", "v1", why)
"""

from collections.abc import Callable

from pipelines import apply, compat, encode, graph, materialize
from pipelines.home import Home
from pipelines.receipts import Stage, only_one
from pipelines.release.desk import Desk, Why, at_desk
from pipelines.release.move import adopted
from star_features.catalogue import Kind, SpacePair
from star_features.errors import UsageError
from star_features.ledger.consumers import consumers
from star_features.ledger.releases import (
    CANDIDATE,
    CURRENT,
    RETIRED,
    SHADOW,
    take_step,
)
from star_features.release.pointers import Line, lines_of, moves_to


def shadow(home: Home, kind: Kind, version: str, why: Why) -> list[Callable[[], Stage]]:
    """
    Write a version beside what is served, from now on; returns the stages that do so now.

    Each stage is skipped where there is nothing to do. Until they have run the version is in
    shadow by name only, which a promotion notices.

    Raises:
        UsageError: a pair that readers would need is not in spaces.toml, or it is retired.
    """
    with only_one(home), at_desk(home) as desk:
        moves = moves_to(desk.catalogue, kind, version)
        desk = adopted(desk, kind, why)
        state = desk.state(kind, version)
        if state == RETIRED:
            raise UsageError(
                f"{kind} {version} is retired, and a version never comes back.\n"
                f"Add the next one to spaces.toml, then: star release shadow {kind} vN"
            )
        if state == CANDIDATE:
            with desk.ledger.begin() as db:
                numbers = {"lines": [str(line) for line in moves]}
                take_step(db, desk.step("shadow", kind, version, why, numbers), SHADOW)
    return _stages(home, SpacePair(kind, version))


def _stages(home: Home, pair: SpacePair) -> list[Callable[[], Stage]]:
    catalogue = home.catalogue()
    text = pair.version if pair.kind == "text" else catalogue.graph_version(pair.version).text
    towers: list[Callable[[], Stage]] = [lambda: encode.stage(home, text)]
    if pair.kind == "graph":
        towers.append(lambda: graph.stage(home, pair.version))
    maps: list[Callable[[], Stage]] = []
    for mapped in catalogue.mapped_pairs():
        if (mapped.kind, mapped.filled_by) == (pair.kind, pair.version):
            maps += [
                lambda mapped=mapped: compat.fit_stage(home, mapped),  # type: ignore[misc]
                lambda mapped=mapped: compat.map_stage(home, mapped),  # type: ignore[misc]
            ]
    return [
        *towers,
        *maps,
        lambda: apply.stage(home),
        lambda: materialize.stage(home, home.towers()),
    ]


def retire(home: Home, kind: Kind, version: str, why: Why) -> None:
    """
    End a version: nothing is computed for it any more, and it cannot come back.

    Raises:
        UsageError: it is current, or somebody still reads its language or its vectors.
    """
    with only_one(home), at_desk(home) as desk:
        desk = adopted(desk, kind, why)
        state = desk.state(kind, version)
        if state == CURRENT:
            raise UsageError(
                f"{kind} {version} is current: readers read it.\n"
                f"Promote another one first: star release plan {kind} VERSION"
            )
        if state == RETIRED:
            raise UsageError(f"{kind} {version} is retired already: star release status")
        _refuse_readers(desk, kind, version)
        with desk.ledger.begin() as db:
            take_step(db, desk.step("retire", kind, version, why, {}), RETIRED)


def _refuse_readers(desk: Desk, kind: Kind, version: str) -> None:
    read = {
        line: pair
        for line, pair in lines_of(desk.catalogue).items()
        if pair.kind == kind and version in (pair.version, pair.source)
    }
    if not read:
        return
    with desk.ledger.read() as db:
        known = consumers(db)
    who = sorted(one.name for one in known if any(_reads(desk, one.service, n) for n in read))
    line, pair = next(iter(read.items()))
    newest = next(iter({p.source for p in read.values()} - {version}), None)
    moved = f"star release promote {kind} {newest or 'VERSION'} --language {line.service}="
    raise UsageError(
        f'{kind} {version} is still read: [{line.table}] {line.name} = "{pair}"'
        + (f", by {', '.join(who)}" if who else ", by nobody who is registered")
        + ".\nWhen its rankers are trained on another version, move the line: "
        + f"{moved}{newest or 'VERSION'}; see who reads it: star consumers list"
    )


def _reads(desk: Desk, service: str, line: Line) -> bool:
    """Whether readers of a service meet this line: their own, or the one they inherit."""
    if service == line.service:
        return True
    own = desk.catalogue.services.get(service, {})
    return line.table == "stable" and line.name not in own
