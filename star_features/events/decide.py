"""
What a batch of events changes, given what is known: no I/O, and the order of arrival decides
nothing.

    decision = decide(changes, interactions, standing)
    decision.there, decision.gone, decision.met, decision.unknown

`standing` says of every entity named in the batch where it stands: the newest state that is known,
by its stamp, and whether it was erased.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from star_features.events.said import Change, Interaction, Stamp, newest

Key = tuple[str, str]
LAST = "~"
"""The tie of a state that the tables hold: an event of the same time is no newer than they are."""


@dataclass(frozen=True)
class Standing:
    """Where one entity stands.

    Attributes:
        stamp: of its newest known state; None for one that nobody ever spoke of.
        erased: it must never come back.
    """

    stamp: Stamp | None = None
    erased: bool = False

    @property
    def known(self) -> bool:
        """Whether anybody ever spoke of it: one that was deleted is known too."""
        return self.stamp is not None


@dataclass
class Decision:
    """What a batch changes.

    Attributes:
        there: entities that are different now, one change each.
        gone: entities that are deleted, or were and may still stand in a store.
        met: interactions to keep, each once.
        unknown: interactions with somebody that nobody spoke of yet, and with whom.
        stale: events that say nothing new.
        erased: events of erased entities: they are dropped, content and all.
    """

    there: list[Change] = field(default_factory=list)
    gone: list[Change] = field(default_factory=list)
    met: list[Interaction] = field(default_factory=list)
    unknown: list[tuple[Interaction, Key]] = field(default_factory=list)
    stale: int = 0
    erased: int = 0


def decide(
    changes: Iterable[Change],
    interactions: Iterable[Interaction],
    standing: Mapping[Key, Standing],
) -> Decision:
    """Which of these events count."""
    out = Decision()
    by_key: dict[Key, list[Change]] = {}
    for change in changes:
        by_key.setdefault(change.key, []).append(change)
    for key, told in by_key.items():
        _decide_entity(newest(told), len(told), standing[key], out)
    told_of = by_key.keys()
    for interaction in {one.identity: one for one in interactions}.values():
        _decide_interaction(interaction, standing, told_of, out)
    return out


def _decide_entity(change: Change, told: int, standing: Standing, out: Decision) -> None:
    if standing.erased:
        out.erased += told
        return
    out.stale += told - 1
    known = standing.stamp
    if change.content is None and known == change.stamp:
        out.gone.append(change)  # told again: perhaps it was not carried through
    elif known is not None and change.stamp <= known:
        out.stale += 1
    else:
        (out.gone if change.content is None else out.there).append(change)


def _decide_interaction(
    interaction: Interaction,
    standing: Mapping[Key, Standing],
    told_of: "Iterable[Key]",
    out: Decision,
) -> None:
    if any(standing[end].erased for end in interaction.ends):
        out.erased += 1
        return
    for end in interaction.ends:
        if not standing[end].known and end not in told_of:
            out.unknown.append((interaction, end))
            return
    out.met.append(interaction)


def entities_of(
    changes: Sequence[Change], interactions: Sequence[Interaction], others: Sequence[Key] = ()
) -> dict[str, list[str]]:
    """Ids that these events name, by entity, each once."""
    named = [*others, *(change.key for change in changes)]
    named += [end for interaction in interactions for end in interaction.ends]
    found: dict[str, dict[str, None]] = {"member": {}, "job": {}}
    for entity, id in named:
        found[entity][id] = None
    return {entity: list(ids) for entity, ids in found.items()}
