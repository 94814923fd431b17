"""
What is known of someone beside their id: texts and values that nobody else has.

    texts_alone(tables, "member", ["m1"])       # their texts, unless others say the same
    values_alone(tables, "member", ["m1"])      # {"skills": ["falconry"]}

Read before their rows go: afterwards nobody can tell what was theirs.
"""

from collections.abc import Sequence

import duckdb

from star_features.tables.canonical import Tables
from star_features.tables.duckdb_source import literal, quoted


def texts_alone(tables: Tables, entity: str, ids: Sequence[str]) -> tuple[str, ...]:
    """Texts of these entities that no other one of their kind has."""
    with duckdb.connect() as db:
        return _alone(db, [_column(tables, entity, "text", entity)], ids)


def values_alone(tables: Tables, entity: str, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """By categorical or list column, the values that only these entities have.

    A list column of the same name may stand in the other table too: they share their nodes.
    """
    lists = {e: tables.lists(f"{e}s") for e in ("member", "job")}
    found = {}
    with duckdb.connect() as db:
        for column in tables.categorical(f"{entity}s"):
            found[column] = _alone(db, [_column(tables, entity, column, entity)], ids)
        for column in lists[entity]:
            shares = [e for e in lists if column in lists[e]]
            values = [_column(tables, e, f"unnest({quoted(column)})", entity) for e in shares]
            found[column] = _alone(db, values, ids)
    return {column: values for column, values in found.items() if values}


def _column(tables: Tables, table: str, value: str, entity: str) -> str:
    """SQL: whose (null where of the other kind) and what."""
    owner = f"{entity}_id" if table == entity else "NULL"
    shown = value if "(" in value else quoted(value)
    file = literal(tables.path(f"{table}s"))
    return f"SELECT {owner} AS owner, {shown} AS value FROM read_parquet({file})"


def _alone(
    db: duckdb.DuckDBPyConnection, columns: Sequence[str], ids: Sequence[str]
) -> tuple[str, ...]:
    rows = db.execute(
        f"""
        WITH given AS ({" UNION ALL ".join(columns)}),
        ours AS (SELECT DISTINCT value FROM given WHERE owner IN (SELECT unnest($ids)))
        SELECT value FROM ours WHERE value IS NOT NULL EXCEPT
        SELECT value FROM given SEMI JOIN ours USING (value)
        WHERE owner IS NULL OR owner NOT IN (SELECT unnest($ids))
        ORDER BY value""",
        {"ids": list(ids)},
    )
    return tuple(str(row[0]) for row in rows.fetchall())
