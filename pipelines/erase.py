"""
Erase: everything of a member or job that this home holds is removed, for good.

    star erase member m0000042 [m0000043 …] --why "asked on 2026-03-02"

A tombstone comes first, and from then on nobody brings them back: not an event, not a refresh of
tables that still have them. It holds a keyed digest of the id, not the id. Then, in this order: the
online store, the ledger, documents and models, histories and training sets, the tables, and what
is left in freed pages; at the end every file of the home is searched. Each step can be run again,
so an erasure that was killed is finished by the same command. docs/audit-and-erase.md says what an
erasure cannot reach.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.home import Home
from pipelines.materialize import histories
from pipelines.receipts import Facts, find_receipt, only_one
from pipelines.recording import now_us, opened
from star_features.catalogue import Entity
from star_features.erasure.documents import forget_names, scrub
from star_features.erasure.records import erase_records, named_records
from star_features.erasure.residue import Searched, bare_bytes, compact, exact_bytes, search
from star_features.erasure.rows import erase_rows, owners, withhold_values
from star_features.erasure.subject import Subject
from star_features.erasure.traces import texts_alone, values_alone
from star_features.errors import StoreError, UsageError
from star_features.files import read_json, sha256, write_json
from star_features.ledger.ledger import Ledger
from star_features.ledger.tombstones import bury, digests, erased_among, keep_receipt, receipt_of
from star_features.online.remover import columnar
from star_features.online.wire import entity_keys
from star_features.progress import track
from star_features.store.feast_store import config_path, online_files, open_store
from star_features.store.history import History
from star_features.store.recording import amending
from star_features.tables.canonical import Tables
from star_features.tables.receipt import SCHEMA

if TYPE_CHECKING:
    from feast import FeatureStore

ERASURES = "erasures"
"""Where receipts lie, named by the digest of the id."""


@dataclass
class Erasure:
    """
    What one erasure has removed so far, over all its runs. `to_json` is the receipt.

    Attributes:
        id: never written anywhere; `digest` stands for it.
        removed: rows, documents or names, by place.
        rewritten: SHA-256 of each table that was written anew.
        remains: what was not, or cannot be, reached, and what to do about it.
    """

    entity: str
    id: str
    digest: str
    why: str
    begun: str
    runs: int = 1
    removed: Counter[str] = field(default_factory=Counter)
    rewritten: dict[str, str] = field(default_factory=dict)
    remains: list[str] = field(default_factory=list)
    searched: Facts = field(default_factory=dict)
    finished: str | None = None

    def to_json(self) -> Facts:
        facts = {name: value for name, value in vars(self).items() if name != "id"}
        return facts | {"removed": dict(sorted(self.removed.items()))}


def run(
    home: Home, entity: Entity, ids: Sequence[str], *, why: str, anyway: bool = False
) -> list[Erasure]:
    """Erase these ids; returns the receipt of each, which also lies in the home.

    Args:
        why: for the operator; it stays, so no personal text.
        anyway: bar ids too that this home knows nothing of.

    Raises:
        UsageError: an id that is unknown here, or another process working in this home.
        StoreError: an online store from which single rows cannot be removed.
    """
    ids = list(dict.fromkeys(ids))
    with only_one(home), opened(home) as ledger:
        store = _store(home)
        if not anyway:
            _refuse_unknown(home, ledger, entity, ids)
        job = _Job(home, ledger, store, Subject(entity, frozenset(ids)))
        return job.run(_begin(ledger, entity, ids, why))


class _Job:
    """One call of `run`: its steps, in order, and what each took."""

    def __init__(
        self, home: Home, ledger: Ledger, store: "FeatureStore | None", subject: Subject
    ) -> None:
        self.home, self.ledger, self.store, self.subject = home, ledger, store, subject
        self.values: dict[str, tuple[str, ...]] = {}

    def run(self, erasures: list[Erasure]) -> list[Erasure]:
        self.of = {erasure.id: erasure for erasure in erasures}
        self._remember()
        for step in (self._online, self._records, self._documents, self._rows, self._tables):
            step()
            self._keep()
        self._online()  # again: who had looked for a tombstone a moment before it was there
        self._records()
        self._residue()
        self._search()
        self._keep()
        for erasure in erasures:
            write_json(receipt_path(self.home, erasure.digest), erasure.to_json(), sort_keys=False)
        return erasures

    def _remember(self) -> None:
        """Texts and values of theirs, while the tables still say so."""
        if (self.home.tables / SCHEMA).exists():
            tables, ids = Tables(self.home.tables), sorted(self.subject.ids)
            texts = texts_alone(tables, self.subject.entity, ids)
            self.values = values_alone(tables, self.subject.entity, ids)
            self.subject = Subject(self.subject.entity, self.subject.ids, texts)

    def _online(self) -> None:
        if self.store is None:
            return
        views = [v for v in self.store.list_feature_views() if v.join_keys == [self.subject.key]]
        online = columnar(self.store)
        for id, erasure in self.of.items():
            keys = entity_keys(self.subject.key, [id])
            for view in views:
                gone = online.delete_rows(self.store.config, view, keys)
                erasure.removed[f"online/{view.name}"] += gone
            gone = online.delete_entities(self.store.config, views, keys)
            erasure.removed["online, views of before"] += gone

    def _records(self) -> None:
        with self.ledger.begin() as db:
            for id, erasure in self.of.items():
                for table, count in erase_records(db, self._alone(id)).items():
                    erasure.removed[f"ledger/{table}"] += count

    def _documents(self) -> None:
        for path in _files(self.home, ".json"):
            for id, erasure in self.of.items():
                erasure.removed[self._name(path)] += scrub(path, self._alone(id))
        for folder in {path.parent for path in _files(self.home, ".json")}:
            for id, erasure in self.of.items():
                for place, count in forget_names(folder, self._alone(id), self.values).items():
                    erasure.removed[f"{self._name(folder)} {place}"] += count
        checkpoints = self.home.path / "checkpoints"
        if checkpoints.exists() and any(checkpoints.iterdir()):
            shutil.rmtree(checkpoints)  # of a training that would not go on with other rows
            self._of_all("checkpoints")
        for path in _left_behind(self.home):
            _remove(path)
            self._of_all("files of killed runs")

    def _rows(self) -> None:
        """Histories, training sets and what models remember of their labels."""
        paths = [p for p in _files(self.home, ".parquet") if self.home.tables not in p.parents]
        for path in track(paths, "erase rows", unit="file"):
            of_history = self.home.history in path.parents
            if not of_history:
                self._count(path, erase_rows(path, self.subject, keep_empty=True))
            elif owners(path, self.subject):
                history = History.of_vectors(self.home.history, path.parents[1].name)
                with amending(self.ledger, history, path, now_us()):
                    self._count(path, erase_rows(path, self.subject))
        if (self.home.tables / SCHEMA).exists():
            for history in histories(self.home):
                if history.folder.exists():
                    history.ensure()

    def _tables(self) -> None:
        """The canonical tables, their counts too: kept and quarantined are still what came in."""
        if not (self.home.tables / SCHEMA).exists():
            return
        removed: Counter[str] = Counter()
        for path in sorted(self.home.tables.rglob("*.parquet")):
            withheld = withhold_values(path, self.subject)
            for erasure in self.of.values():
                erasure.removed[f"{self._name(path)} values"] += withheld
            found = erase_rows(path, self.subject, keep_empty=True)
            self._count(path, found)
            removed[str(path.relative_to(self.home.tables).with_suffix(""))] += found.total()
        _recount(self.home.tables / SCHEMA, +removed)

    def _residue(self) -> None:
        """Freed pages of SQLite files; what servers keep on disk is not ours to see."""
        exact = exact_bytes(self.subject, self._views())
        self.ledger.close()
        if self.store is not None:
            columnar(self.store).disconnect()
        files = dict.fromkeys(online_files(self.home.path), exact)
        if self.home.ledger_file:
            files[self.home.ledger_file] = exact + bare_bytes(self.subject)
        for path, needles in files.items():
            if compact(path, needles):
                self._of_all(f"{path.name} written anew")

    def _search(self) -> None:
        source = self._source()
        skip = [source] if source else []
        searched = search(self.home.path, self.subject, self._views(), skip)
        with self.ledger.read() as db:
            named = named_records(db, self.subject)
        if searched.found or named:
            where = [*searched.found, *(f"ledger/{table}" for table in named)]
            raise StoreError(
                f"after the erasure {len(where)} places still hold something: {', '.join(where)}.\n"
                "Another process may have written meanwhile: stop it, and run the same again."
            )
        for erasure in self.of.values():
            erasure.searched = _as_facts(searched)
            erasure.remains = list(_remains(self.home, source, self.subject, erasure))
            erasure.finished = _now()

    def _source(self) -> Path | None:
        """What the tables were read from; not ours to change."""
        receipt = find_receipt(self.home, "ingest")
        return Path(receipt.settings["source"]) if receipt else None

    def _views(self) -> list[str]:
        return sorted(path.name for path in self.home.history.glob(f"{self.subject.entity}_*"))

    def _alone(self, id: str) -> Subject:
        return Subject(self.subject.entity, frozenset([id]), self.subject.texts)

    def _count(self, path: Path, found: Counter[str]) -> None:
        place = path.parents[1] if self.home.history in path.parents else path
        for id, rows in found.items():
            self.of[id].removed[self._name(place)] += rows
            if path.exists() and self.home.history not in path.parents:
                self.of[id].rewritten[self._name(path)] = sha256(path)

    def _of_all(self, place: str) -> None:
        for erasure in self.of.values():
            erasure.removed[place] += 1

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.home.path))

    def _keep(self) -> None:
        """What is done stays written, for the run after a kill."""
        with self.ledger.begin() as db:
            for erasure in self.of.values():
                erasure.removed = +erasure.removed
                keep_receipt(db, erasure.entity, erasure.id, erasure.to_json())


def receipt_path(home: Home, digest: str) -> Path:
    return home.path / ERASURES / f"{digest.replace(':', '-')}.json"


def _begin(ledger: Ledger, entity: Entity, ids: Sequence[str], why: str) -> list[Erasure]:
    """Tombstones for all, and what earlier runs have removed."""
    now = now_us()
    erasures = []
    with ledger.begin() as db:
        bury(db, entity, ids, kind="erased", content_us=now, now_us=now, why=why)
        for id, digest in zip(ids, digests(db, entity, ids), strict=True):
            before = receipt_of(db, entity, id) or {}
            erasure = Erasure(entity, id, digest, why, _now())
            if before:
                erasure.why, erasure.begun = before["why"], before["begun"]
                erasure.runs = before["runs"] + 1
                erasure.removed = Counter(before["removed"])
                erasure.rewritten = dict(before["rewritten"])
            keep_receipt(db, entity, id, erasure.to_json())
            erasures.append(erasure)
    return erasures


def _refuse_unknown(home: Home, ledger: Ledger, entity: Entity, ids: Sequence[str]) -> None:
    """A slip of the pen would bar an id for good."""
    unknown = set(ids)
    with ledger.begin() as db:
        unknown -= erased_among(db, entity, ids)
    if (home.tables / SCHEMA).exists():
        key = f"{entity}_id"
        for batch in Tables(home.tables).batches(f"{entity}s", [key]):
            unknown -= set(batch.column(key).to_pylist())
    with ledger.read() as db:
        unknown = {id for id in unknown if not named_records(db, Subject(entity, frozenset([id])))}
    if unknown:
        raise UsageError(
            f"this home holds no {entity} {', '.join(sorted(unknown))}; nothing was erased.\n"
            f"Wanted an id as it stands in {entity}s. To bar ids before they come: --anyway"
        )


def _store(home: Home) -> "FeatureStore | None":
    """The Feast store, if there is one yet; refused before anything is removed if it cannot."""
    if not config_path(home.path).exists():
        return None
    store = open_store(home.repo, home.path)
    columnar(store)
    return store


def _files(home: Home, suffix: str) -> list[Path]:
    """Files of one kind that are ours: the source, should it lie in the home, is not."""
    receipt = find_receipt(home, "ingest")
    source = Path(receipt.settings["source"]) if receipt else home.market
    kept = {home.path / ERASURES, source, home.market}
    paths = sorted(path for path in home.path.rglob(f"*{suffix}") if path.is_file())
    return [path for path in paths if not kept & {path, *path.parents}]


def _left_behind(home: Home) -> list[Path]:
    """What killed runs were writing: half-written files of processes that are gone."""
    asides = [path for path in home.path.rglob("*.tmp") if not _is_alive(path)]
    folders = [home.path / ".tables.new", home.path / ".tables.old", home.path / "training_set.new"]
    return asides + [folder for folder in folders if folder.exists()]


def _is_alive(path: Path) -> bool:
    number = path.name.split(".")[-2]
    if not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _recount(path: Path, removed: Counter[str]) -> None:
    """Rows that were erased count as quarantined, as they will when the source is read again."""
    if not removed:
        return
    schema = read_json(path)
    for table, rows in removed.items():
        if facts := schema["tables"].get(table):
            facts["kept"] -= rows
            facts["quarantined"] += rows
            facts["reasons"]["erased"] = facts["reasons"].get("erased", 0) + rows
    write_json(path, schema)


def _remains(home: Home, source: Path | None, subject: Subject, erasure: Erasure) -> Iterator[str]:
    """What the receipt must not hide."""
    if source and source.exists():
        yield f"{source}: the source is not ours to change; rows of theirs are left out when read"
    for folder in sorted((home.path / "models").glob("*")):
        version = folder.name.rpartition("_")[2]
        if folder.name.startswith("graph_"):
            again = f"star graph --version {version} --retrain"
        elif folder.name.startswith("text_"):
            again = f"star train text --version {version} --retrain"
        else:
            again = "star rank --force"
        yield f"{folder.name}: weights that may have been trained with them among others; {again}"
    yield "vectors of others that were computed while they were there, until the next refresh"
    yield "outside this home: backups, topics of Kafka, logs, tables that were handed out"


def _as_facts(searched: Searched) -> Facts:
    return {"files": searched.files, "bytes": searched.bytes, "found": len(searched.found)}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
