"""`star audit`: do source, ledger, history and online store agree? And mend what does not."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.audit import Audit
from pipelines.cli.shared import HomeOption, RepoOption, console
from pipelines.home import Home

UNSOUND = 8
"""Exit code: findings are left."""
EXAMPLES = 3


def audit(
    view: Annotated[
        list[str] | None, typer.Option("--view", help="Only this feature view; may be repeated.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="So many members and jobs, drawn by --seed.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what is found, and nothing else.")
    ] = False,
    all_orphans: Annotated[
        bool, typer.Option("--all-orphans", help="Remove orphans even if they are very many.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; it names entities.")] = False,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Compare source, ledger, history and online store of every view; exit code 8: findings left.

    Finds missing, stale, orphaned, mixed-space and corrupted vectors. A sample does not look for
    orphans, nor at every byte of the history's files.
    """
    from pipelines import audit as job

    found = job.run(
        Home.find(home, repo),
        only=view or (),
        sample=sample,
        seed=seed,
        repair=repair,
        all_orphans=all_orphans,
    )
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        show_audit(console, found)
    if found.findings:
        raise typer.Exit(UNSOUND)


def show_audit(console: Console, audit: Audit) -> None:
    """A line a view, or a line a kind of finding; then what was mended."""
    console.print(_table(audit))
    for name, why in audit.skipped.items():
        console.print(f"[dim]{name}: not audited, {why}[/]")
    if not audit.online:
        console.print("[yellow]Nothing is online yet: star apply, star materialize[/]")
    for name, done in audit.mended.items():
        for what, count in sorted(done.items()):
            console.print(f"{name}: {what}: {count:,}")
    if audit.before and not audit.findings:
        console.print(f"[green]{audit.before:,} findings, all mended.[/]")
    elif audit.findings:
        hint = "" if audit.mended else "; to mend them: star audit --repair"
        console.print(f"[red]{audit.findings:,} findings{hint}[/]")


def _table(audit: Audit) -> Table:
    of = "" if audit.sample is None else f" of a sample of {audit.sample:,}"
    table = Table(title=f"Audit{of}", title_justify="left", header_style="")
    for name in ("view", "entities", "found", "where", "cure", "such as"):
        table.add_column(name, justify="right" if name == "entities" else "left")
    for report in audit.views:
        first = (report.view, f"{report.entities:,}")
        if not report.findings:
            table.add_row(*first, "[green]nothing[/]", "", "", "")
        for (kind, layer, cure), count in sorted(report.findings.items()):
            named = [n[0] for n in audit.named[report.view] if n[1:] == (kind, layer, cure)]
            table.add_row(
                *first, f"[red]{kind} {count:,}[/]", layer, cure, ", ".join(named[:EXAMPLES])
            )
            first = ("", "")
    return table
