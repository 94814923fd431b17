"""
What is known of the entities that a batch names, read in one go, before and again while writing.

If the second reading differs from the first, another worker, a refresh or an erasure was faster,
and the batch begins anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from pipelines.events.base import Base
from pipelines.events.compute import Target
from star_features.events.decide import LAST, Decision, Key, Standing, entities_of
from star_features.events.said import Change, Content, EventLimits, Interaction, Stamp, read
from star_features.ledger import changes, quarantine, tombstones
from star_features.ledger.changes import Happened, Kept
from star_features.store.history import hash_inputs


@dataclass(frozen=True)
class Scene:
    """What is known.

    Attributes:
        kept: the newest told state of the entities that have one.
        told: the interactions of each entity, as told.
        waiting: what was set aside until one of these entities came.
    """

    standing: dict[Key, Standing]
    kept: dict[Key, Kept]
    told: dict[Key, list[Happened]]
    waiting: tuple[quarantine.Row, ...]

    def gone_for_good(self, keys: Sequence[Key]) -> list[Key]:
        """Those of them that must not stand in a store."""
        found = [(key, self.standing[key]) for key in keys]
        return [key for key, s in found if s.erased or (s.stamp is not None and s.stamp.deleted)]


def look(
    db: Connection,
    base: Base,
    said: Sequence[Change],
    interactions: Sequence[Interaction],
    faulty: Sequence[Key] = (),
) -> Scene:
    """Read all that matters to these changes and interactions, and to whom faults are about."""
    named = entities_of(said, interactions, faulty)
    standing, kept = _standing(db, base, named)
    came = [change.key for change in said if not standing[change.key].known]
    waiting = tuple(quarantine.waiting_for(db, came)) if came else ()
    if waiting:
        more = entities_of(said, [*interactions, *released(waiting)], faulty)
        standing, kept = _standing(db, base, more)
        named = more
    told: dict[Key, list[Happened]] = {}
    for entity, ids in named.items():
        rows = changes.interactions_of(db, entity, ids)
        told.update({(entity, id): happened for id, happened in rows.items()})
    return Scene(standing, kept, told, waiting)


def released(waiting: Sequence[quarantine.Row]) -> list[Interaction]:
    """The interactions that were set aside, as they were."""
    found = [read((row.payload or "").encode(), EventLimits(), row.at_us) for row in waiting]
    return [said for said in found if isinstance(said, Interaction)]


def targets_of(
    decision: Decision, scene: Scene, base: Base, new: Sequence[Interaction]
) -> list[Target]:
    """Who needs new rows: whoever changed, and the ends of new interactions that were taken."""
    now = {change.key: change for change in decision.there}
    gone = {change.key for change in decision.gone}
    ends = [end for one in new if one.label for end in one.ends]
    keys = [key for key in dict.fromkeys([*now, *ends]) if key not in gone]
    found = (_target(key, now.get(key), scene, base, new) for key in keys)
    return [target for target in found if target is not None]


def _target(
    key: Key, change: Change | None, scene: Scene, base: Base, new: Sequence[Interaction]
) -> Target | None:
    entity, id = key
    met = _met(key, scene, new)
    if change is not None and change.content is not None:
        return _of_content(key, change.at_us, change.content, met)
    stamp = scene.standing[key].stamp
    if stamp is None or stamp.deleted:
        return None
    kept, since_us = scene.kept.get(key), base.since_us(entity, id)
    if kept is not None and kept.content and (since_us is None or kept.content_us > since_us):
        return _of_content(key, kept.content_us, Content(**kept.content), met)
    row = base.find(entity, id)
    if row is None:
        return None
    return Target(
        entity, id, row.since_us, None, row.text_hash, row.company_id, row.categories, row.lists,
        met,
    )  # fmt: skip


def _of_content(key: Key, at_us: int, content: Content, met: Sequence[object]) -> Target:
    text_hash = None if content.text is None else hash_inputs([content.text])[0]
    return Target(
        *key, at_us, content.text, text_hash, content.company_id, content.categories,
        content.lists, met,
    )  # fmt: skip


def _met(key: Key, scene: Scene, new: Sequence[Interaction]) -> list[object]:
    """With whom an entity had to do, by all that was told, as the graph takes it."""
    from star_features.graph.live import Met

    told = [(h.member_id, h.job_id, h.kind, h.content_us) for h in scene.told[key] if h.label]
    told += [(i.member_id, i.job_id, i.kind, i.at_us) for i in new if i.label and key in i.ends]
    of_member = key[0] == "member"
    return [
        Met(job if of_member else member, kind, at_us)
        for member, job, kind, at_us in dict.fromkeys(told)
    ]


def _standing(
    db: Connection, base: Base, named: Mapping[str, Sequence[str]]
) -> tuple[dict[Key, Standing], dict[Key, Kept]]:
    standing: dict[Key, Standing] = {}
    kept: dict[Key, Kept] = {}
    for entity, ids in named.items():
        dead = tombstones.deleted_at(db, entity, ids)
        erased = tombstones.erased_among(db, entity, ids)
        told = changes.changes_of(db, entity, ids)
        for id in ids:
            stamps = []
            if id in told:
                kept[entity, id] = told[id]
                stamps.append(Stamp(told[id].content_us, False, told[id].tie))
            if id in dead:
                stamps.append(Stamp(dead[id], True, ""))
            if (since_us := base.since_us(entity, id)) is not None:
                stamps.append(Stamp(since_us, False, LAST))
            standing[entity, id] = Standing(max(stamps, default=None), id in erased)
    return standing, kept
