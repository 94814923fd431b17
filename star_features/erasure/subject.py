"""
Who is to be erased, and how a row or a document is known to be about them.

    subject = Subject("member", frozenset({"m1"}), texts=("Nurse in Graz. …",))
    subject.rows(batch)                 # which rows of an Arrow batch are about m1, and of whom
    subject.named_in(payload)           # whether an event or a document names m1

An id is matched whole, and as a member or a job: job 1001 is not member 1001.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from star_features.catalogue import ENTITIES

ENDS = ("src", "dst")
TOLD = 24
"""Characters from which on a text is somebody's own and not a phrase."""


@dataclass(frozen=True)
class Subject:
    """Entities of one kind that are to be erased.

    Attributes:
        entity: `member` or `job`.
        ids: their ids.
        texts: what they alone said of themselves, as far as it is still known.
    """

    entity: str
    ids: frozenset[str]
    texts: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Their id column, `member_id`."""
        return f"{self.entity}_id"

    @cached_property
    def told(self) -> tuple[str, ...]:
        """Texts long enough to be known by."""
        return tuple(text for text in self.texts if len(text) >= TOLD)

    def columns(self, names: list[str]) -> list[str]:
        """Which columns of a Parquet file must be read to tell whose a row is."""
        ends = [c for end in ENDS for c in (f"{end}_type", f"{end}_id")]
        wanted = [self.key, *ends] if set(ends) <= set(names) else [self.key]
        return [name for name in names if name in wanted]

    def rows(self, batch: pa.RecordBatch) -> pa.Array:
        """True for each row that is about one of them."""
        return pc.is_valid(self.owners(batch))

    def owners(self, batch: pa.RecordBatch) -> pa.Array:
        """The id that each row is about, null where none of ours."""
        found = pa.nulls(batch.num_rows, pa.string())
        for column, there in self._claims(batch):
            ids = batch.column(column).cast(pa.string())
            mine = pc.and_(pc.is_in(ids, value_set=self._ids), there)
            found = pc.coalesce(found, pc.if_else(mine, ids, pa.scalar(None, pa.string())))
        return found

    def named_in(self, payload: str) -> bool:
        """Whether a JSON document, or any text, names one of them or holds what they said."""
        if not self.mentioned_in(payload):
            return False
        try:
            document = json.loads(payload)
        except ValueError:
            return True
        return any(True for _ in self._places(document, ""))

    def scrubbed(self, value: Any, key: str = "") -> Any:
        """A JSON document with their ids and texts replaced by null."""
        if isinstance(value, dict):
            return {k: self.scrubbed(v, k) for k, v in value.items() if not self._is_ours(k, key)}
        if isinstance(value, list):
            return [self.scrubbed(item, key) for item in value]
        return None if self._is_ours(value, key) else value

    @cached_property
    def _ids(self) -> pa.Array:
        return pa.array(sorted(self.ids), pa.string())

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Any of the ids as a whole word, or the beginning of any of the texts."""
        words = (rf"(?<!\w){re.escape(id)}(?!\w)" for id in self.ids)
        return re.compile("|".join([*words, *(re.escape(text[:TOLD]) for text in self.told)]))

    def mentioned_in(self, payload: str) -> bool:
        """Whether any of their ids stands in it as a whole word, or the beginning of a text."""
        return bool(self._pattern.search(payload) or self._pattern.search(_unescaped(payload)))

    def _claims(self, batch: pa.RecordBatch) -> Iterator[tuple[str, Any]]:
        """Columns that may name them, and in which rows those columns are about their kind."""
        names = batch.schema.names
        if self.key in names:
            yield self.key, pa.scalar(True)
        for end in ENDS:
            if {f"{end}_type", f"{end}_id"} <= set(names):
                yield f"{end}_id", pc.equal(batch.column(f"{end}_type"), self.entity)

    def _places(self, value: Any, key: str) -> Iterator[Any]:
        if isinstance(value, dict):
            yield from (k for k in value if self._is_ours(k, key))
            for k, v in value.items():
                yield from self._places(v, k)
        elif isinstance(value, list):
            for item in value:
                yield from self._places(item, key)
        elif self._is_ours(value, key):
            yield value

    def _is_ours(self, value: Any, key: str) -> bool:
        """Whether a string under this key is one of their ids or texts."""
        if not isinstance(value, str):
            return False
        others = {f"{other}{end}" for other in ENTITIES if other != self.entity for end in _NAMES}
        return (value in self.ids and key not in others) or self._tells(value)

    def _tells(self, value: str) -> bool:
        """Whether a string holds one of their texts, or the beginning of one."""
        return any(text in value or _begins(text, value) for text in self.told)


_NAMES = ("", "_id", "s", "_ids")  # keys under which a document may name members, or jobs


def _begins(text: str, value: str) -> bool:
    """Whether `value` is a text cut short, with or without a mark at the end."""
    shown = value.rstrip("… ")
    return len(shown) >= TOLD and text.startswith(shown)


def _unescaped(payload: str) -> str:
    """Text as a reader of its JSON sees it: ö may stand there as \\u00f6."""
    if "\\" not in payload:
        return payload
    return payload.encode("utf-8", "replace").decode("unicode_escape", "replace")
