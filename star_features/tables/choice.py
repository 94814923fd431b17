"""
Which further columns become categorical features, and why the others do not.

Named ones always do. Of the rest, a column does when its values repeat: text, whole numbers and
truth values; not times, not fractions, not what is different on nearly every row.
"""

from dataclasses import dataclass

from star_features.tables.config import Limits
from star_features.tables.duckdb_source import quoted
from star_features.tables.work import Work

LONGEST = 200  # characters of a category
FEW = 20  # up to so many distinct values are fine even where every row has its own


@dataclass(frozen=True)
class Profile:
    """What a column of a table holds, over all its kept rows."""

    filled: int
    distinct: int
    longest: int
    fractions: bool
    times: bool

    def why_not(self, limits: Limits) -> str | None:
        """The reason why it is no categorical feature, or None."""
        if not self.filled:
            return "no values"
        if self.times:
            return "times; name it in categorical to use it as it is"
        if self.fractions:
            return "fractions; name it in categorical to use it as it is"
        if self.longest > LONGEST:
            return f"values of up to {self.longest} characters"
        if self.distinct > limits.max_categories:
            return f"{self.distinct} distinct values, more than {limits.max_categories}"
        if self.distinct > max(FEW, self.filled // 2):
            return f"{self.distinct} distinct values in {self.filled} rows"
        return None


def profile(work: Work, table: str, column: str) -> Profile:
    """Look at one column of one table."""
    name, number = quoted(column), f"TRY_CAST({quoted(column)} AS DOUBLE)"
    row = work.con.execute(
        f"SELECT count({name}), count(DISTINCT {name}), coalesce(max(length({name})), 0),"
        f" count({number}), coalesce(bool_or({number} <> trunc({number})), false),"
        f" count(TRY_CAST({name} AS TIMESTAMP)) FROM {quoted(table)}"
    ).fetchone()
    assert row is not None
    filled, distinct, longest, numbers, fractional, times = row
    return Profile(
        filled=filled,
        distinct=distinct,
        longest=longest,
        fractions=numbers == filled and fractional,
        times=times == filled,
    )


def choose(
    work: Work,
    table: str,
    scalars: dict[str, str],
    named: tuple[str, ...] | None,
    limits: Limits,
) -> tuple[list[str], dict[str, str]]:
    """The categorical columns of a table in name order, and source columns left out with reasons.

    Args:
        scalars: candidates, canonical name to source name.
        named: source names from dataset.toml; None to judge each.
    """
    chosen: list[str] = []
    ignored: dict[str, str] = {}
    for name, source in sorted(scalars.items()):
        if named is None:
            why = profile(work, table, name).why_not(limits)
        else:
            why = None if source in named else "not in categorical"
        if why is None:
            chosen.append(name)
        else:
            ignored[source] = why
    return chosen, ignored
