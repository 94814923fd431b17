"""
What each canonical table wants from its source, as data: one `Slot` per canonical column.

Reading, mapping and the row rules are written once, over slots; this file is the only place that
knows what a member or an edge is made of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from star_features.tables.config import (
    Constant,
    DatasetConfig,
    Edges,
    Entity,
    Interactions,
    Join,
    Node,
    TextColumn,
)

Role = Literal["id", "word", "text", "time", "weight", "label"]


@dataclass(frozen=True)
class Slot:
    """One canonical column and where it comes from.

    Attributes:
        nullable: a row may have no value here.
        optional: the source may have no such column.
        key: how dataset.toml calls it, where not by its name.
    """

    name: str
    role: Role
    source: TextColumn
    nullable: bool = False
    optional: bool = False
    key: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """The source columns it is made of."""
        if isinstance(self.source, Constant):
            return ()
        return (self.source,) if isinstance(self.source, str) else self.source

    @property
    def shown(self) -> str:
        """How a reader of the quarantine finds it in the file."""
        return "+".join(self.reads) or self.name


@dataclass(frozen=True)
class TableSpec:
    """One table to read.

    Attributes:
        name: how receipts call it: members, jobs, interactions, edges, certificates, …
        section: its heading in dataset.toml.
        slots: its canonical columns.
        further: whether columns beyond the slots are kept as features.
        verbatim: whether those keep their names and values as they are.
        about: id columns of members and jobs: the entity, or the column that names it.
    """

    name: str
    section: str
    file: str | None
    slots: tuple[Slot, ...]
    further: bool = False
    verbatim: bool = False
    categorical: tuple[str, ...] | None = None
    lists: tuple[tuple[str, str], ...] = ()
    ignore: tuple[str, ...] = ()
    joins: tuple[Join, ...] = ()
    time_format: str | None = None
    kind_weights: tuple[tuple[str, float], ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> Slot:
        """The column that must be unique, where one must."""
        return self.slots[0]


def _slot(
    name: str,
    role: Role,
    given: TextColumn | None,
    nullable: bool = False,
    optional: bool = False,
) -> Slot:
    """A column named in dataset.toml must exist, even where the canonical one may be absent."""
    return Slot(name, role, name if given is None else given, nullable, optional and given is None)


def _entity(name: str, entity: Entity, first: Slot, *more: Slot) -> TableSpec:
    empty = entity.allow_empty_text
    return TableSpec(
        name=name,
        section=f"[{name}]",
        file=entity.file,
        slots=(
            first,
            *more,
            _slot("text", "text", entity.text, nullable=empty, optional=empty),
            _slot("updated_at", "time", entity.updated_at),
        ),
        further=True,
        categorical=entity.categorical,
        lists=tuple(entity.lists.items()),
        ignore=entity.ignore,
        joins=entity.join,
        time_format=entity.time_format,
        about={first.name: name.removesuffix("s")},
    )


def members_spec(config: DatasetConfig) -> TableSpec:
    return _entity("members", config.members, _slot("member_id", "id", config.members.member_id))


def jobs_spec(config: DatasetConfig) -> TableSpec:
    jobs = config.jobs
    company = _slot("company_id", "id", jobs.company_id, nullable=True, optional=True)
    return _entity("jobs", jobs, _slot("job_id", "id", jobs.job_id), company)


def interactions_spec(given: Interactions) -> TableSpec:
    return TableSpec(
        name="interactions",
        section="[interactions]",
        file=given.file,
        slots=(
            _slot("member_id", "id", given.member_id),
            _slot("job_id", "id", given.job_id),
            _slot("kind", "word", given.kind),
            _slot("at", "time", given.at),
            _slot("weight", "weight", given.weight, nullable=True, optional=True),
            _slot("label", "label", given.label, optional=True),
        ),
        time_format=given.time_format,
        kind_weights=tuple(given.kind_weights.items()),
        about={"member_id": "member", "job_id": "job"},
    )


def edges_spec(given: Edges) -> TableSpec:
    return TableSpec(
        name="edges",
        section="[[edges]]",
        file=given.file,
        slots=(
            _slot("src_type", "word", given.src_type),
            _slot("src_id", "id", given.src_id),
            _slot("relation", "word", given.relation),
            _slot("dst_type", "word", given.dst_type),
            _slot("dst_id", "id", given.dst_id),
            _slot("at", "time", given.at, nullable=True, optional=True),
        ),
        time_format=given.time_format,
        about={"src_id": "src_type", "dst_id": "dst_type"},
    )


def node_spec(kind: str, given: Node) -> TableSpec:
    return TableSpec(
        name=f"{kind}s",
        section=f"[nodes.{kind}]",
        file=given.file,
        slots=(
            Slot(f"{kind}_id", "id", given.id or f"{kind}_id", key="id"),
            _slot("text", "text", given.text, nullable=True, optional=True),
        ),
    )


def join_spec(table: TableSpec, join: Join) -> TableSpec:
    """A file joined onto a table: a key that must be unique, and columns to hand on."""
    return TableSpec(
        name=f"{table.name}+{join.file}",
        section=table.section,
        file=join.file,
        slots=(Slot(join.on, "id", join.on),),
        further=True,
        verbatim=True,
        ignore=table.ignore,
        about={} if join.key else {join.on: table.about[table.id.name]},
    )
