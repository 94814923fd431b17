"""
What a stable name meant when: the pairs behind a service, from release to release.

    periods = periods_of(catalogue, taken, "ranker")
    periods[0].pairs["star"]            # graph.v1, until the promotion
    require_one_language(periods)

A period begins with the step that moved a line, and the first one has always been. A rollback is a
step as any other: what was read in between was read in between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from star_features.catalogue import RANKER, Catalogue, SpacePair
from star_features.errors import SpaceMismatch, UsageError
from star_features.ledger.releases import PROMOTE, ROLLBACK, Step
from star_features.release.pointers import Line


@dataclass(frozen=True)
class Period:
    """From `since_us` on (None: from the beginning) these pairs were behind the names."""

    since_us: int | None
    pairs: Mapping[str, SpacePair]


def periods_of(catalogue: Catalogue, taken: Sequence[Step], service: str) -> list[Period]:
    """
    What each name of a service led to, oldest first.

    Raises:
        UsageError: spaces.toml says something else today than the last step left.
    """
    today = catalogue.stable_pairs(service)
    moves = [
        (step.at_us, name, *ends)
        for step in taken
        if step.action in (PROMOTE, ROLLBACK)
        for name, ends in _moved(catalogue, step, service).items()
    ]
    first = {name: before for _, name, before, _ in reversed(moves)}
    periods = [Period(None, today | first)]
    for at_us, name, _, after in moves:
        pairs = {**periods[-1].pairs, name: after}
        if periods[-1].since_us == at_us:  # one step moved several names
            periods.pop()
        periods.append(Period(at_us, pairs))
    if periods[-1].pairs != today:
        raise UsageError(
            f"spaces.toml says {_said(today)} for the service {service}, and the last release left "
            f"{_said(periods[-1].pairs)}.\nSee what stands: star release status"
        )
    return _distinct(periods)


def require_one_language(periods: Sequence[Period]) -> None:
    """
    Refuse periods between which a name changed its language: their vectors cannot be mixed.

    Raises:
        SpaceMismatch: such a name, and what to do instead.
    """
    for name, pair in periods[-1].pairs.items():
        for period in periods[:-1]:
            before = period.pairs[name]
            if (before.kind, before.version) != (pair.kind, pair.version):
                raise SpaceMismatch(
                    got=f"{before} (as {name}, before a release moved it)",
                    wanted=f"{pair.kind}.{pair.version}, one language for all labels;"
                    " for the whole past in today's: star training-set --backfilled",
                )


def _moved(
    catalogue: Catalogue, step: Step, service: str
) -> dict[str, tuple[SpacePair, SpacePair]]:
    """Names of a service that a step moved: by lines of its own, or by those it inherits."""
    own = catalogue.services.get(service, {})
    found = {}
    for text, (before, after) in step.numbers["lines"].items():
        line = Line.parse(text)
        inherited = line.service == RANKER and line.name not in own
        if (line.service == service or inherited) and before != after:
            found[line.name] = SpacePair.parse(before), SpacePair.parse(after)
    return found


def _distinct(periods: Sequence[Period]) -> list[Period]:
    """Periods between which nothing changed are one."""
    found = [periods[0]]
    found += [now for before, now in pairwise(periods) if now.pairs != before.pairs]
    return found


def _said(pairs: Mapping[str, SpacePair]) -> str:
    return ", ".join(f"{name} = {pair}" for name, pair in pairs.items())
