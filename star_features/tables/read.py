"""
The input stage: a folder or database of anyone's tables in, canonical tables out.

    receipt = read_dataset(Path("examples/small_csv"), home / "tables")
    for line in explain(receipt):
        print(line)

A bad row goes to quarantine.parquet and the rest goes on; a file that cannot be used stops with
one DataError. The output appears whole or not at all, and a rerun replaces it.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from star_features.errors import EmptyInput, UsageError
from star_features.tables.across import known_ends, known_pairs, node_types, unique
from star_features.tables.barred import NOBODY, Barred
from star_features.tables.choice import choose
from star_features.tables.chunk import Shape
from star_features.tables.config import DatasetConfig, Edges, Node, load_config
from star_features.tables.folder import Folder, config_beside, open_folder
from star_features.tables.intake import Intake, take_in
from star_features.tables.joins import Joined
from star_features.tables.receipt import SCHEMA, InputReceipt, TableReceipt
from star_features.tables.spec import (
    TableSpec,
    edges_spec,
    interactions_spec,
    jobs_spec,
    join_spec,
    members_spec,
    node_spec,
)
from star_features.tables.told import Laid, Told, lay_entities, lay_interactions
from star_features.tables.work import Work

ORDER = {
    "interactions": ["at", "member_id", "job_id", "kind", "_file", "_row"],
    "edges": ["src_type", "src_id", "relation", "dst_type", "dst_id", "at", "_file", "_row"],
    "quarantine": ["table", "file", "row", "column", "reason"],
}
RESERVED = ("member", "job", "interaction", "edge")


def read_dataset(
    source: Path,
    out: Path,
    config: Path | None = None,
    barred: Barred = NOBODY,
    told: Told | None = None,
) -> InputReceipt:
    """Validate a data set and write its canonical tables to the folder `out`.

    Args:
        source: a folder of Parquet or CSV files, or a DuckDB database.
        out: the folder to write; what an earlier call wrote there is replaced.
        config: a dataset.toml; by default the one in the folder, or beside the database.
        barred: whose rows are left out.
        told: what events told, to be laid over the source.
    """
    settings = load_config(config or config_beside(source))
    with replacing(out) as aside, open_folder(source, settings.csv) as folder:
        with Work(spill=aside / "spill") as work:
            receipt = _Reading(folder, work, settings, barred, told or Told()).run(aside)
        shutil.rmtree(aside / "spill", ignore_errors=True)
        receipt.write(aside)
    return receipt


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A folder to write into that takes the place of `out` at the end, unless something fails."""
    if out.exists() and any(out.iterdir()) and not (out / SCHEMA).exists():
        raise UsageError(f"{out.name}: there are other files in this folder.\nName an empty one.")
    aside, old = (out.with_name(f".{out.name}.{end}") for end in ("new", "old"))
    for left_over in (aside, old):
        shutil.rmtree(left_over, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        if out.exists():
            os.replace(out, old)
        os.replace(aside, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


class _Reading:
    """One call of `read_dataset`: tables are taken in, checked against each other, written."""

    def __init__(
        self, folder: Folder, work: Work, config: DatasetConfig, barred: Barred, told: Told
    ) -> None:
        self.folder, self.work, self.config = folder, work, config
        self.barred, self.told = barred, told
        self.laid: dict[str, Laid] = {}
        self.tables: dict[str, TableReceipt] = {}
        self.joins: list[tuple[TableSpec, Intake]] = []
        self.used: set[str] = set()

    def run(self, out: Path) -> InputReceipt:
        self._entity(members_spec(self.config), out)
        self._entity(jobs_spec(self.config), out)
        self._interactions(out)
        nodes = self._edges_and_nodes(out)
        for spec, intake in self.joins:
            self._note(spec.name, [intake], self.work.count(spec.name))
        self._write("quarantine", ["table", "file", "row", "column", "reason", "value"], out)
        count = 'SELECT count(DISTINCT "at") FROM interactions'
        taken = "SELECT count(*) FROM interactions WHERE label = 0"
        return InputReceipt(
            name=self.config.name,
            simulated=self.config.simulated,
            tables=self.tables,
            has_times=self.work.one(count) > 1,
            has_labels=self.work.one(taken) > 0,
            node_types=tuple(nodes),
            unused_files=tuple(name for name in self.folder.present if name not in self.used),
        )

    def _entity(self, spec: TableSpec, out: Path) -> None:
        """Members or jobs, with the files joined to them."""
        joined = [self._join(spec, join_spec(spec, join), join.key) for join in spec.joins]
        intake = self._take_in(spec, joined)
        for join in joined:
            join.require_met()
        unique(self.work, spec)
        self.laid[spec.name] = lay_entities(self.work, spec, self.told, intake.lists)
        kept = self.work.count(spec.name)
        limits = self.config.limits
        chosen, left = choose(self.work, spec.name, intake.scalars, spec.categorical, limits)
        lists = sorted(intake.lists)
        columns = [slot.name for slot in spec.slots] + chosen + lists
        self._write(spec.name, columns, out, [spec.id.name])
        self._note(spec.name, [intake], kept, chosen, lists, left)
        if not kept:
            raise self._nothing_left(spec)

    def _join(self, table: TableSpec, spec: TableSpec, key: str | None) -> Joined:
        if key is None and not table.id.reads:
            raise UsageError(f"{spec.section} join {spec.file}: name the key it is looked up by")
        intake = self._take_in(spec)
        unique(self.work, spec)
        self.joins.append((spec, intake))
        shapes: dict[str, Shape] = {
            **dict.fromkeys(intake.scalars, "text"),
            **dict.fromkeys(intake.lists, "list"),
        }
        on = spec.id.name
        return Joined(self.work, spec.name, intake.files[0], on, key or table.id.reads[0], shapes)

    def _interactions(self, out: Path) -> None:
        spec = interactions_spec(self.config.interactions)
        intake = self._take_in(spec)
        self.laid[spec.name] = lay_interactions(self.work, spec, self.told)
        known_pairs(self.work, spec)
        self._write(spec.name, [slot.name for slot in spec.slots], out)
        self._note(spec.name, [intake], self.work.count(spec.name))

    def _edges_and_nodes(self, out: Path) -> list[str]:
        """Edges first, since they say which node types there are; returns types with a table."""
        given = self.config.edges or (Edges(),)
        specs = [edges_spec(edges) for edges in given]
        intakes = [self._take_in(spec, required=bool(self.config.edges)) for spec in specs]
        named = self.config.nodes
        kinds = dict.fromkeys([*named, *node_types(self.work)])
        with_table = [kind for kind in kinds if kind not in RESERVED and self._node(kind, out)]
        ends = {"member": "member_id", "job": "job_id"}
        known_ends(self.work, ends | {kind: f"{kind}_id" for kind in with_table})
        self._write("edges", [slot.name for slot in specs[0].slots], out)
        self._note("edges", intakes, self.work.count("edges"))
        return with_table

    def _node(self, kind: str, out: Path) -> bool:
        """Read the table of a node type; False where it has none."""
        spec, named = (
            node_spec(kind, self.config.nodes.get(kind, Node())),
            kind in self.config.nodes,
        )
        found = self.folder.require(spec) if named else self.folder.find(spec)
        if not found or (not named and found[0].name in self.used):
            return False  # a file that is read as something else is no table of nodes
        intake = self._take_in(spec)
        unique(self.work, spec)
        self._write(spec.name, [f"{kind}_id", "text"], out / "nodes", [f"{kind}_id"])
        self._note(spec.name, [intake], self.work.count(spec.name))
        return True

    def _take_in(
        self, spec: TableSpec, joined: Iterable[Joined] = (), required: bool = True
    ) -> Intake:
        sources = self.folder.require(spec) if required else self.folder.find(spec)
        self.used.update(source.name for source in sources)
        return take_in(self.work, spec, sources, self.config, list(joined), self.barred)

    def _write(
        self, table: str, columns: list[str], out: Path, order: list[str] | None = None
    ) -> None:
        self.work.write(table, columns, order or ORDER[table], out / f"{table}.parquet")

    def _note(
        self,
        table: str,
        intakes: list[Intake],
        kept: int,
        categorical: Iterable[str] = (),
        lists: Iterable[str] = (),
        left: dict[str, str] | None = None,
    ) -> None:
        """Three counts from three places: the readers, the table, the quarantine."""
        laid = self.laid.get(table, Laid())
        self.tables[table] = TableReceipt(
            files=tuple(file for intake in intakes for file in intake.files),
            rows_in=sum(intake.rows_in for intake in intakes),
            kept=kept,
            quarantined=self.work.quarantined(table),
            reasons=self.work.reasons(table),
            told=laid.told,
            superseded=laid.superseded,
            categorical=tuple(categorical),
            lists=tuple(lists),
            ignored={name: why for i in intakes for name, why in i.ignored.items()} | (left or {}),
        )

    def _nothing_left(self, spec: TableSpec) -> EmptyInput:
        table = self.tables[spec.name]
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in table.reasons.items())
        got = f"of {table.rows_in:,} {spec.name} none is left ({reasons or 'there were no rows'})"
        wanted = f"Wanted one good row at least: see {spec.section} in dataset.toml."
        return EmptyInput(", ".join(table.files), got, wanted)
