"""
Rules across rows: an id occurs once; whoever is named in an interaction or an edge exists.

They look at rows that passed their own checks, so a row is quarantined once, and an id that only
a quarantined row had is unknown.
"""

from collections.abc import Mapping

from star_features.tables.duckdb_source import literal, quoted
from star_features.tables.spec import TableSpec
from star_features.tables.work import Work


def unique(work: Work, spec: TableSpec) -> None:
    """Keep the first row of every id, in file order; the later ones go to quarantine."""
    column = quoted(spec.id.name)
    ranked = (
        f"SELECT rowid AS origin, {column} AS value,"
        f" row_number() OVER (PARTITION BY {column} ORDER BY _file, _row) AS place"
        f" FROM {quoted(spec.name)}"
    )
    shown = literal(spec.id.shown)
    work.move_to_quarantine(
        spec.name,
        f"SELECT origin, {shown} AS \"column\", 'duplicate_id' AS reason, value"
        f" FROM ({ranked}) WHERE place > 1",
    )


def known_pairs(work: Work, spec: TableSpec) -> None:
    """An interaction is between a member and a job that were kept."""
    shown = {slot.name: literal(slot.shown) for slot in spec.slots}
    no_member, no_job = "m.member_id IS NULL", "j.job_id IS NULL"
    work.move_to_quarantine(
        spec.name,
        f"""
        SELECT i.rowid AS origin,
          concat_ws('; ', CASE WHEN {no_member} THEN {shown["member_id"]} END,
                          CASE WHEN {no_job} THEN {shown["job_id"]} END) AS "column",
          concat_ws('; ', CASE WHEN {no_member} THEN 'unknown_member' END,
                          CASE WHEN {no_job} THEN 'unknown_job' END) AS reason,
          CASE WHEN {no_member} THEN i.member_id ELSE i.job_id END AS value
        FROM {quoted(spec.name)} i
        LEFT JOIN members m ON m.member_id = i.member_id
        LEFT JOIN jobs j ON j.job_id = i.job_id
        WHERE {no_member} OR {no_job}
        """,
    )


def known_ends(work: Work, tables: Mapping[str, str]) -> None:
    """An edge's ends exist, for every node type that has a table: `tables`, type to id column."""
    for end in ("src", "dst"):
        for kind, column in tables.items():
            reason = f"unknown_{kind}" if kind in ("member", "job") else "unknown_node"
            work.move_to_quarantine(
                "edges",
                f"SELECT e.rowid AS origin, '{end}_id' AS \"column\", '{reason}' AS reason,"
                f" e.{end}_id AS value FROM edges e WHERE e.{end}_type = {literal(kind)}"
                f" AND e.{end}_id NOT IN (SELECT {quoted(column)} FROM {quoted(f'{kind}s')})",
            )


def node_types(work: Work) -> list[str]:
    """Types that edges name beside members and jobs."""
    rows = work.con.execute(
        "SELECT src_type AS t FROM edges UNION SELECT dst_type FROM edges ORDER BY t"
    )
    return [row[0] for row in rows.fetchall() if row[0] not in ("member", "job")]
