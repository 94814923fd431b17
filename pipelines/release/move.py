"""
Promote and roll back: what readers read, moved in one step, and moved back in one.

    promote(home, "graph", "v2", Why("mia", "better cold starts"))
    rollback(home, "graph", Why("mia", "the jobs team sees fewer clicks"))

Three places change: the lines of `spaces.toml`, Feast's services, and the ledger. The ledger is
told before the first of them and after the last; killed in between, the same command goes on, and
`rollback` undoes it. Readers follow Feast's registry alone, where all services change at once.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from pipelines.home import Home
from pipelines.receipts import only_one
from pipelines.release import check, complete
from pipelines.release.desk import Desk, Why, at_desk
from star_features.catalogue import ENTITIES, RANKER, Kind, SpacePair
from star_features.errors import UsageError
from star_features.ledger.consumers import consumers
from star_features.ledger.releases import (
    BEGIN,
    CURRENT,
    PROMOTE,
    RETIRED,
    RETIRING,
    ROLLBACK,
    SHADOW,
    Step,
    announce,
    states,
    steps,
    take_step,
    under_way,
    undone_last,
)
from star_features.release.complete import ViewState
from star_features.release.pointers import Line, Moves, lines_of, moves_to, rewrite
from star_features.release.repoint import registered, repoint
from star_features.release.standing import current_of, disagreements


@dataclass(frozen=True)
class Moved:
    """What a promotion or a rollback did.

    Attributes:
        services: those of Feast's registry that changed.
        views: what was compared before it.
    """

    kind: Kind
    version: str
    moves: Moves
    services: list[str]
    views: list[ViewState]


def promote(
    home: Home,
    kind: Kind,
    version: str,
    why: Why,
    languages: Mapping[str, str] | None = None,
) -> Moved:
    """
    Let readers of every language of a kind read what `version` makes.

    Args:
        languages: by service, the language its rankers speak from now on; see `moves_to`.

    Raises:
        GateRed: the version does not keep what its readers need, and nobody forces it.
        UsageError: the version is not in shadow, its views are not whole, a registered consumer
            speaks another language, or spaces.toml, ledger and registry disagree.
    """
    checked = _checked(home, kind, version, why, languages)
    with only_one(home), at_desk(home) as desk:
        desk = adopted(desk, kind, why)
        begun = _resumed(desk, kind, version)
        moves = _moves_of(begun) if begun else moves_to(desk.catalogue, kind, version, languages)
        if begun is None:
            _refuse_wrong_state(desk, kind, version, moves)
            refuse_disagreement(desk)
            refuse_other_languages(desk, moves)
        _refuse_changed_by_hand(desk, moves)
        views = complete.compare(desk, moves)
        _refuse_incomplete(views, why, f"star release promote {kind} {version}")
        outgoing = begun.numbers["outgoing"] if begun else current_of(desk.standing, kind)
        numbers = _lines(moves) | {"outgoing": outgoing, "views": [asdict(view) for view in views]}
        numbers |= {"gate": checked.numbers if checked else None}
        step = desk.step(PROMOTE, kind, version, why, numbers)
        if begun is None:
            _announce(desk, step)
        services = _move(desk, moves)
        others = {outgoing: (CURRENT, RETIRING)} if outgoing and outgoing != version else {}
        with desk.ledger.begin() as db:
            take_step(db, step, CURRENT, others=others)
        return Moved(kind, version, moves, services, views)


def rollback(home: Home, kind: Kind, why: Why) -> Moved:
    """
    Undo the newest promotion of a kind, whether it was finished or not.

    Raises:
        UsageError: there is none, or what was read before is retired, or no longer whole.
    """
    with only_one(home), at_desk(home) as desk:
        last = undone_last(desk.steps_of(kind))
        if last is None:
            raise UsageError(
                f"no promotion of {kind} to undo.\nSee what stands: star release status"
            )
        outgoing: str | None = last.numbers["outgoing"]
        if outgoing and desk.state(kind, outgoing) == RETIRED:
            raise UsageError(
                f"{kind} {outgoing} is retired: its vectors are no longer computed.\n"
                f"Promote another version: star release plan {kind} VERSION"
            )
        moves = {line: (after, before) for line, (before, after) in _moves_of(last).items()}
        views = complete.compare(desk, moves)
        _refuse_incomplete(views, why, f"star release rollback {kind}")
        step = desk.step(ROLLBACK, kind, last.version, why, _lines(moves) | {"undoes": last.id})
        if under_way(desk.steps_of(kind)) is None:
            _announce(desk, step)
        services = _move(desk, moves)
        back = outgoing if outgoing != last.version else None
        state = desk.state(kind, back) if back else CURRENT
        with desk.ledger.begin() as db:
            take_step(
                db,
                step,
                SHADOW if back else CURRENT,
                others={back: (state, CURRENT)} if back else {},
            )
        return Moved(kind, last.version, moves, services, views)


def adopted(desk: Desk, kind: Kind, why: Why) -> Desk:
    """The desk with the states that `spaces.toml` implies in the ledger, where it had none."""
    implied = {
        version: found.state
        for (of_kind, version), found in desk.standing.items()
        if of_kind == kind and not found.recorded
    }
    if not implied:
        return desk
    with desk.ledger.begin() as db:
        for version, state in implied.items():
            adopt = Step(desk.now_us, why.who, "adopt", kind, version, "as spaces.toml has it")
            take_step(db, adopt, state)
        return replace(desk, recorded=states(db), taken=steps(db))


def refuse_disagreement(desk: Desk) -> None:
    """Refuse to go on from a place that nobody knows."""
    views = registered(desk.store())
    if found := disagreements(desk.catalogue, desk.recorded, views):
        raise UsageError(
            "\n".join(found)
            + "\nCorrect the line by hand, or let Feast follow it: star apply. Then see: "
            "star release status"
        )


def refuse_other_languages(desk: Desk, moves: Moves) -> None:
    """A consumer reads only the language it was trained in, whoever speaks it."""
    with desk.ledger.read() as db:
        known = consumers(db)
    for consumer in known:
        for name, trained in consumer.pairs.items():
            own = Line(consumer.service, name)
            line = own if own in moves else Line(RANKER, name)
            language = moves[line][1].version if line in moves else None
            if language and language != SpacePair.parse(trained).version:
                raise UsageError(
                    f"{consumer.name} reads {name} of the service {consumer.service} and was "
                    f"trained on {trained}; it would meet the language of {language}.\n"
                    f"Give it a service of its own in spaces.toml, [services.{consumer.name}] with "
                    f'{name} = "{moves[line][0]}", or train it on {language} and register it anew: '
                    f"star consumers add {consumer.name} …"
                )


def _checked(
    home: Home, kind: Kind, version: str, why: Why, languages: Mapping[str, str] | None
) -> Step | None:
    """The gate's verdict of today, taken now if there is none; None where a step is only resumed.

    Raises:
        GateRed: it is red, and nobody forces it.
    """
    with at_desk(home) as desk:
        begun = _resumed(desk, kind, version)
        if begun is not None:
            return None
        moves = moves_to(desk.catalogue, kind, version, languages)
        _refuse_wrong_state(desk, kind, version, moves)
        last = check.fresh(desk, kind, version, languages)
    if last is None:
        check.run(home, kind, version, why, languages)
        with at_desk(home) as desk:
            last = check.fresh(desk, kind, version, languages)
    if last and not last.numbers["green"] and not why.forced:
        raise check.red(kind, version, last.numbers["failed"])
    return last


def _resumed(desk: Desk, kind: Kind, version: str) -> Step | None:
    """The announcement of this promotion, if it was begun and never ended."""
    begun = under_way(desk.steps_of(kind))
    if begun is None:
        return None
    action = begun.action.removeprefix(BEGIN)
    if action == PROMOTE and begun.version == version:
        return begun
    command = f"{action} {kind}" + (f" {begun.version}" if action == PROMOTE else "")
    undo = f", or undo it: star release rollback {kind}" if action == PROMOTE else ""
    raise UsageError(
        f"a {action} of {kind} {begun.version} was begun by {begun.who} and never ended.\n"
        f"Finish it: star release {command}{undo}"
    )


def _refuse_wrong_state(desk: Desk, kind: Kind, version: str, moves: Moves) -> None:
    state = desk.state(kind, version)
    if not moves:
        raise UsageError(
            f"no line of spaces.toml reads {kind}. Wanted, say, below [stable]: "
            f'NAME = "{kind}.{version}"; then: star apply'
        )
    if state == CURRENT and all(before == after for before, after in moves.values()):
        raise UsageError(f"{kind} {version} is current, and every line reads it already.")
    if state not in (SHADOW, CURRENT, RETIRING):
        raise UsageError(
            f"{kind} {version} is {state}; wanted one that is in shadow: computed, mapped and "
            f"written beside what is served.\nRun: star release shadow {kind} {version}"
        )


def _refuse_changed_by_hand(desk: Desk, moves: Moves) -> None:
    """Each line is where the step begins, or where it ends; anything else was somebody's wish."""
    lines = lines_of(desk.catalogue)
    for line, ends in moves.items():
        if lines.get(line) not in ends:
            raise UsageError(
                f'spaces.toml says {line.name} = "{lines.get(line)}" in [{line.table}]; wanted '
                f'"{ends[0]}" or "{ends[1]}", between which this step moves.\n'
                "Correct the line by hand; then run the command again."
            )


def _refuse_incomplete(views: list[ViewState], why: Why, command: str) -> None:
    problems = [problem for view in views for problem in view.problems()]
    if problems and not why.forced:
        raise UsageError(
            "\n".join(problems)
            + f'\nMend it, then: {command}; or past it: {command} --force --reason "…"'
        )


def _announce(desk: Desk, step: Step) -> None:
    with desk.ledger.begin() as db:
        announce(db, step, desk.steps_of(cast(Kind, step.kind)))


def _move(desk: Desk, moves: Moves) -> list[str]:
    """The lines first, which are the wish; then, in one transaction, what readers meet."""
    after = {line: pair for line, (_, pair) in moves.items()}
    rewrite(desk.home.repo / "spaces.toml", after)
    catalogue = desk.home.catalogue()
    aliases = {
        service: {
            f"{entity}_{name}": pair.view(entity)
            for name, pair in catalogue.stable_pairs(service).items()
            for entity in ENTITIES
        }
        for service in catalogue.all_services()
    }
    return repoint(desk.store(), aliases, desk.now)


def _lines(moves: Moves) -> dict[str, Any]:
    return {"lines": {str(line): [str(pair) for pair in ends] for line, ends in moves.items()}}


def _moves_of(step: Step) -> Moves:
    """The inverse of `_lines`, of a step in the ledger."""
    found: Moves = {}
    for line, (before, after) in step.numbers["lines"].items():
        found[Line.parse(line)] = SpacePair.parse(before), SpacePair.parse(after)
    return found
