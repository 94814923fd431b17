"""Times from text: ISO 8601 unless a format is named, UTC out of any zone."""

import duckdb
import pyarrow as pa

from star_features.tables.duckdb_source import literal

TIME = pa.timestamp("us", tz="UTC")


class Times:
    """Parses columns of times.

    Args:
        timezone: the zone of a time that names none.
        written: strptime format, `epoch_s` or `epoch_ms`; None for ISO 8601.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, timezone: str, written: str | None = None
    ) -> None:
        self.con = con.cursor()
        self.con.execute(f"SET TimeZone = {literal(timezone)}")
        self.sql = _parser(written)

    def parse(self, texts_N: pa.ChunkedArray) -> pa.Array:
        """Times as timestamp[us, UTC]; null where there is none or it cannot be parsed."""
        rows = pa.table({"t": texts_N})
        self.con.register("times_to_parse", rows)
        parsed = f"SELECT CASE WHEN isfinite(p) THEN p END AS t FROM (SELECT {self.sql} AS p FROM"
        found = self.con.execute(f"{parsed} times_to_parse)").to_arrow_table()
        self.con.unregister("times_to_parse")
        return found.column("t").combine_chunks().cast(TIME)


def _parser(written: str | None) -> str:
    if written is None:
        return "TRY_CAST(trim(t) AS TIMESTAMPTZ)"
    if written in ("epoch_s", "epoch_ms"):
        scale = 1_000_000 if written == "epoch_s" else 1_000
        return f"make_timestamptz(TRY_CAST(round(TRY_CAST(t AS DOUBLE) * {scale}) AS BIGINT))"
    return f"TRY_CAST(try_strptime(trim(t), {literal(written)}) AS TIMESTAMPTZ)"
