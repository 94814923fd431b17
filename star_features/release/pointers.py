"""
The lines of `spaces.toml` that say what rankers read, and how they are moved.

    moves = moves_to(catalogue, "graph", "v2")
    rewrite(path, moves)                    # the lines, and nothing else; whole or not at all

A line is `[stable] star = "graph.v1"`, or the same in `[services.NAME]`. A release keeps the
*language* of a line, the spaces its rankers were trained in, and changes the model that fills it:
`graph.v1` becomes `graph.v1_from_v2`, and later `graph.v1_from_v3`.
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from star_features.catalogue import RANKER, Catalogue, Kind, SpacePair
from star_features.errors import UsageError

HEADER = re.compile(r"^\s*\[(?P<table>[^\[\]]+)\]\s*(#.*)?$")


@dataclass(frozen=True)
class Line:
    """One stable name of one service."""

    service: str
    name: str

    @property
    def table(self) -> str:
        """The TOML table it stands in."""
        return "stable" if self.service == RANKER else f"services.{self.service}"

    @classmethod
    def parse(cls, text: str) -> "Line":
        """The inverse of `str`: `ranker.star`."""
        service, _, name = text.partition(".")
        return cls(service, name)

    def __str__(self) -> str:
        return f"{self.service}.{self.name}"


Moves = dict[Line, tuple[SpacePair, SpacePair]]
"""By line: the pair behind it, and the pair that shall be."""


def lines_of(catalogue: Catalogue) -> dict[Line, SpacePair]:
    """Every line that stands in `spaces.toml`; what a service inherits is no line of its own."""
    tables = {RANKER: catalogue.stable, **catalogue.services}
    return {
        Line(service, name): SpacePair.parse(pair)
        for service, lines in tables.items()
        for name, pair in lines.items()
    }


def moves_to(
    catalogue: Catalogue, kind: Kind, version: str, languages: Mapping[str, str] | None = None
) -> Moves:
    """Every line of a kind, filled by `version` from now on.

    Args:
        languages: by service, the version whose language its rankers speak from now on; those of
            other services keep theirs.

    Raises:
        UsageError: a pair that a line would need is not defined, or a service is unknown.
    """
    wanted = dict(languages or {})
    if unknown := set(wanted) - set(catalogue.all_services()):
        raise UsageError(
            f"no service {', '.join(sorted(unknown))}; known: {', '.join(catalogue.all_services())}"
        )
    moves: Moves = {}
    for line, pair in lines_of(catalogue).items():
        if pair.kind != kind:
            continue
        language = wanted.get(line.service, pair.version)
        after = SpacePair(kind, language, None if language == version else version)
        _require_defined(catalogue, after)
        moves[line] = (pair, after)
    return moves


def rewrite(path: Path, lines: Mapping[Line, SpacePair]) -> None:
    """Point lines of `spaces.toml` to these pairs; every other byte stays, comments too.

    Raises:
        UsageError: a line does not stand there in the form NAME = "KIND.vN".
    """
    before = path.read_bytes().decode()  # its line ends stay too
    text = before
    for line, pair in lines.items():
        text = _with(path, text, line, str(pair))
    if text == before:
        return
    _refuse_other_changes(path, before, text, lines)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    aside.write_bytes(text.encode())
    aside.chmod(path.stat().st_mode)
    os.replace(aside, path)


def _with(path: Path, text: str, line: Line, pair: str) -> str:
    pattern = re.compile(rf"""^(\s*{re.escape(line.name)}\s*=\s*)("[^"\n]*"|'[^'\n]*')(.*)$""")
    rows = text.splitlines(keepends=True)
    table = ""
    for number, row in enumerate(rows):
        body = row.rstrip("\r\n")
        if header := HEADER.match(body):
            table = header["table"].strip()
        elif table == line.table and (found := pattern.match(body)):
            rows[number] = f'{found[1]}"{pair}"{found[3]}{row[len(body) :]}'
            return "".join(rows)
    raise UsageError(
        f'{path}: [{line.table}] has no line {line.name} = "…" of its own.\n'
        f'Write it so, by hand: [{line.table}] and below it {line.name} = "{pair}"; then run '
        "the command again."
    )


def _refuse_other_changes(
    path: Path, before: str, after: str, lines: Mapping[Line, SpacePair]
) -> None:
    """The two files, as TOML reads them, differ in these lines only."""
    wanted = tomllib.loads(before)
    for line, pair in lines.items():
        _table(wanted, line.table.split("."))[line.name] = str(pair)
    if tomllib.loads(after) != wanted:
        raise UsageError(
            f"{path}: its lines {', '.join(map(str, lines))} could not be found for certain.\n"
            'Write each on a line of its own, as NAME = "KIND.vN"; then run the command again.'
        )


def _table(tree: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    for key in path:
        tree = tree[key]
    return tree


def _require_defined(catalogue: Catalogue, pair: SpacePair) -> None:
    catalogue.version(pair.kind, pair.version)
    catalogue.version(pair.kind, pair.source)
    if pair.filled_by and pair not in catalogue.mapped_pairs():
        entry = catalogue.mapped.get(pair.kind, {}).get(pair.version)
        filled = [*(entry.filled_by if entry else ()), pair.filled_by]
        value = f'"{filled[0]}"' if len(filled) == 1 else str(filled).replace("'", '"')
        raise UsageError(
            f"spaces.toml has no views for {pair}, which readers of {pair.kind} {pair.version} "
            f"would read. Wanted there:\n[mapped.{pair.kind}.{pair.version}]\nfrom = {value}\n"
            f"and then: star release shadow {pair.kind} {pair.filled_by}"
        )
