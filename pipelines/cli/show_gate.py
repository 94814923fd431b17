"""What `star release check` prints: maps, consumers by way and slice, and what is out of bounds."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.cli.show import SIMULATED, as_number
from star_features.release.gate import ALL, ConsumerFigures
from star_features.release.ways import WAYS

if TYPE_CHECKING:
    from pipelines.release.check import Checked


def verdict(console: Console, kind: str, version: str, checked: "Checked") -> None:
    """Everything that was measured; the verdict last."""
    found = checked.verdict
    simulated = SIMULATED if checked.simulated else ""
    if found.maps:
        console.print(_maps(checked))
    for consumer in found.consumers:
        console.print(_consumer(consumer, simulated))
    for note in found.notes:
        console.print(f"[yellow]{escape(note)}[/]")
    if found.failed:
        bounds = Table("figure", "is", "wanted", title="Beyond their bounds", title_justify="left")
        for bound in found.failed:
            sign = "≤" if bound.at_most else "≥"
            value = f"{as_number(bound.value)} {escape(bound.note)}"
            bounds.add_row(f"{escape(bound.of)}: {bound.what}", value, f"{sign} {bound.bound:g}")
        console.print(bounds)
    kept = len(found.bounds) - len(found.failed)
    colour = "green" if found.green else "red"
    console.print(
        f"{kind} {version}: [bold {colour}]{colour}[/], {kept} of {len(found.bounds)} figures "
        f"within their bounds. Table and picture: {checked.folder}",
        soft_wrap=True,
    )


def _maps(checked: "Checked") -> Table:
    heads = ("map", "cosine", "later moments", "R²", "10 nearest", "shuffled", "linear / not")
    table = Table(*heads, title="Maps, on entities kept back", title_justify="left")
    for one in checked.verdict.maps:
        table.add_row(
            one.name,
            f"{one.held:.4f} ± {one.held_error:.4f}",
            as_number(one.later),
            as_number(one.r2),
            as_number(one.neighbours),
            as_number(one.shuffled),
            f"{one.linear:.4f} / {one.nonlinear:.4f}",
        )
        for part, (cosine, rows) in one.slices.items():
            table.add_row(f"  [dim]{part}, {rows:,}[/]", "", f"[dim]{cosine:.4f}[/]", *[""] * 4)
    return table


def _consumer(one: ConsumerFigures, simulated: str) -> Table:
    """AUC by slice and way, the slices that hold both labels."""
    ways = [way for way in WAYS if way in one.auc]
    heads = ("slice", "rows", *ways, "lost ± error")
    moved = "" if one.ks is None else f"; scores moved by {one.ks:.3f} (KS)"
    if one.ks_calibrated is not None:
        moved += f", calibrated by {one.ks_calibrated:.3f}"
    title = f"{one.name}, frozen: AUC by what reaches it{simulated}{moved}"
    if one.refused:
        return Table(escape(one.refused), title=title, title_justify="left")
    table = Table(*heads, title=title, title_justify="left")
    for part, rows in one.rows.items():
        gap, error = one.lost[part]
        if gap != gap:
            continue
        figures = [as_number(one.auc[way][part]) for way in ways]
        style = "bold" if part == ALL else ""
        table.add_row(part, f"{rows:,}", *figures, f"{gap:+.4f} ± {error:.4f}", style=style)
    return table
