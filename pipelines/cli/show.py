"""What the commands print: receipts as tables, and nothing that a receipt does not hold."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.home import Home
from pipelines.receipts import Receipt, find_receipt

if TYPE_CHECKING:
    from pipelines.score import Scored
    from star_features.evaluation.retrieval import Retrieval

SHORT = 100  # characters of a text in a table
SIMULATED = " (simulated)"
ROWS = 20  # scores printed before `--out` is the better way


def outcome(receipt: Receipt) -> str:
    """One line about a stage that has just run, or had nothing to do."""
    if receipt.skipped:
        return f"[dim]skipped: its inputs have not changed since {receipt.finished[:19]}[/]"
    if reason := receipt.facts.get("not_trained"):
        return f"[yellow]nothing to train on:[/] {escape(str(reason).splitlines()[0])}"
    return f"[green]done[/] in {receipt.seconds:.1f} s"


def results(console: Console, home: Home, receipts: list[Receipt]) -> None:
    """The end of a run: what was built, what it is worth, and the best jobs of one member."""
    by_stage = {receipt.stage: receipt for receipt in receipts}
    built(console, receipts)
    ingested(console, by_stage["ingest"])
    ranked(console, home, by_stage["rank"])


def built(console: Console, receipts: list[Receipt]) -> None:
    table = _table("What was built", "stage", "result", "rows", "width", "space", "seconds")
    for receipt in receipts:
        seconds = f"{receipt.seconds:.1f}" + (" (earlier)" if receipt.skipped else "")
        lines = _products(receipt.facts) or [("", "", "", "")]
        for number, line in enumerate(lines):
            first = number == 0
            table.add_row(receipt.stage if first else "", *line, seconds if first else "")
    console.print(table)
    for receipt in receipts:
        if reason := receipt.facts.get("not_trained"):
            console.print(f"[yellow]{receipt.stage} was not trained:[/] ", end="")
            console.print(reason, markup=False)


def ingested(console: Console, receipt: Receipt) -> None:
    """Rows in, kept and quarantined, by table; and the reasons."""
    table = _table("Input", "table", "in", "kept", "quarantined", "why")
    for name, counts in receipt.facts["tables"].items():
        reasons = ", ".join(f"{why}: {n:,}" for why, n in counts["reasons"].items())
        numbers = (counts["rows_in"], counts["kept"], counts["quarantined"])
        table.add_row(name, *(f"{n:,}" for n in numbers), reasons)
    console.print(table)
    gone(console, receipt.facts.get("gone", {}))


def gone(console: Console, by_entity: Mapping[str, Mapping[str, int]]) -> None:
    """Who left the tables, and who was not believed to."""
    for entity, counts in by_entity.items():
        if counts["removed"]:
            console.print(f"{counts['removed']:,} {entity}s are gone from the tables, and offline.")
        if counts["held_back"]:
            console.print(
                f"[yellow]{counts['held_back']:,} {entity}s are gone from the tables at once[/]: "
                "that looks like a broken export, so they stay online. If they are gone: "
                "star ingest --force"
            )


def training_set(console: Console, receipt: Receipt) -> None:
    facts = receipt.facts
    table = _table("Training set", "vector", "missing", "space")
    for column, missing in facts["missing"].items():
        space = facts["spaces"][column.replace("__vector", "__space")]
        table.add_row(column, f"{missing:,} of {facts['rows']:,}", space or "none")
    console.print(table)
    if len(pairs := facts.get("pairs", [])) > 1:
        for row in pairs:
            names = [f"{n.removesuffix('__pair')} = {p}" for n, p in row.items() if n != "rows"]
            console.print(f"{row['rows']:,} labels joined with {', '.join(names)}")


def ranked(console: Console, home: Home, receipt: Receipt) -> None:
    """AUC by features and slice; then one member's best jobs, read online."""
    facts = receipt.facts
    if moved := facts.get("kept"):
        trained = ", ".join(f"{name} = {pair}" for name, pair in moved.items())
        console.print(
            f"The ranker is as it was, trained on {trained}: a release moved what it reads. "
            "To train it on that: star rank --retrain",
            soft_wrap=True,
        )
    if reason := facts.get("not_trained"):
        console.print("[yellow]No ranker was trained:[/] ", end="")
        console.print(reason, markup=False)
        return
    slices = list(facts["slices"])
    later = "later" if facts["protocol"] == "time-split" else "held-out"
    against = ", against jobs drawn by chance" if facts["drawn_negatives"] else ""
    simulated = SIMULATED if facts["simulated"] else ""
    heads = [f"{name}\n{facts['slices'][name]:,} rows" for name in slices]
    table = _table(f"Ranker AUC on {later} interactions{against}{simulated}", "features", *heads)
    for name, row in facts["auc"].items():
        table.add_row(name, *(as_number(row[part]) for part in slices))
    console.print(table)
    _top_jobs(console, facts["online"])
    if figure := facts.get("figure"):
        console.print(f"Figure: {figure}", soft_wrap=True)


def _top_jobs(console: Console, online: Mapping[str, Any]) -> None:
    member = online["member"] or "somebody who was erased since"
    title = f"Best of {online['jobs']} jobs for {member}, read online"
    table = _table(title, "score", "job", "text")
    table.caption = f"{member}: {_short(online['member_text'])}"
    for job in online["top"]:
        table.add_row(f"{job['score']:.3f}", job["job"], _short(job["text"]))
    console.print(table)
    difference = online["sdk_difference"]
    console.print(
        "Features read by Feast's get_online_features; read by star_features.serving instead, "
        f"the scores differ by {difference:.1g} at most."
    )


def retrieval(console: Console, found: "Retrieval", simulated: bool) -> None:
    """Recall, nDCG, MRR and AUC of every ranking on every slice that holds a pair."""
    cuts = list(found.rows[0].recall)
    heads = [f"recall@{k}" for k in cuts] + [f"nDCG@{k}" for k in cuts]
    title = f"Retrieval over {found.jobs:,} jobs{SIMULATED if simulated else ''}"
    table = _table(title, "slice", "ranking", *heads, "MRR", "AUC")
    for row in sorted((row for row in found.rows if row.pairs), key=lambda row: row.slice):
        figures = [*row.recall.values(), *row.ndcg.values(), row.mrr, row.auc]
        table.add_row(f"{row.slice} ({row.pairs:,})", row.ranking, *map(as_number, figures))
    console.print(table)
    for reason, count in found.dropped.items():
        if count:
            console.print(f"Not asked: {count:,} pairs, {reason}")


def scores(console: Console, scored: "Scored", out: Path | None) -> None:
    for side, ids in scored.unknown.items():
        if ids:
            console.print(f"[yellow]{len(ids):,} unknown {side}s[/], such as {ids[0]}")
    if out:
        scored.frame.to_csv(out, index=False)
        console.print(f"{len(scored.frame):,} scores in {out}")
        return
    table = _table("Scores", "member_id", "job_id", "score")
    for row in scored.frame.head(ROWS).to_dict("records"):
        table.add_row(str(row["member_id"]), str(row["job_id"]), f"{row['score']:.4f}")
    console.print(table)
    if len(scored.frame) > ROWS:
        console.print(f"… and {len(scored.frame) - ROWS:,} more: --out FILE writes all of them")


def maps(console: Console, receipts: list[Receipt]) -> None:
    """Each map: what it was fitted on, and what it keeps of vectors it has not seen."""
    heads = ("map", "method", "pairs", "cosine", "R²", "10 nearest kept", "shuffled pairs")
    table = _table("Maps, on entities kept back", *heads)
    for receipt in receipts:
        for fact in _sides(receipt):
            strength = f" {fact['strength']:g}" if fact["strength"] else ""
            table.add_row(
                f"{_name(fact['source'])} → {_name(fact['target'])}",
                f"{fact['method']}{strength}",
                f"{fact['pairs']:,}",
                f"{fact['cosine']:.4f} ± {fact['cosine_error']:.4f}",
                *map(as_number, (fact["r2"], fact["neighbours_kept"], fact["shuffled"])),
            )
        if reason := receipt.facts.get("not_trained"):
            table.add_row(receipt.stage, reason, *[""] * 5)
    console.print(table)


def curves(console: Console, receipts: list[Receipt]) -> None:
    """Held-out cosine by the number of pairs fitted on."""
    table = _table("Cosine by pairs fitted on", "map", "pairs", "method", "cosine")
    for fact in (fact for receipt in receipts for fact in _sides(receipt)):
        for number, point in enumerate(fact["curve"]):
            name = "" if number else f"{_name(fact['source'])} → {_name(fact['target'])}"
            table.add_row(name, f"{point['pairs']:,}", point["method"], as_number(point["cosine"]))
    console.print(table)


def _sides(receipt: Receipt) -> list[Mapping[str, Any]]:
    return [fact for fact in receipt.facts.values() if isinstance(fact, dict)]


def _name(space: str) -> str:
    return space.split("@")[0]


def status(console: Console, home: Home) -> None:
    """Every stage of this home: when it ran, and what it made."""
    table = _table(f"Home {home.path}", "stage", "finished", "result", "rows", "width", "space")
    for name in home.stages():
        receipt = find_receipt(home, name)
        if receipt is None:
            if name != "market":
                table.add_row(name, "[dim]not yet[/]", "", "", "", "")
            continue
        for number, line in enumerate(_products(receipt.facts) or [("", "", "", "")]):
            first = number == 0
            table.add_row(name if first else "", receipt.finished[:19] if first else "", *line)
    console.print(table)


def _products(facts: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Name, rows, width and space of each thing that a stage made."""
    lines = [
        (name, f"{fact['rows']:,}", str(fact["width"]), fact["space"])
        for name, fact in facts.items()
        if isinstance(fact, dict) and "space" in fact
    ]
    for holder in ("rows", "attributes"):
        if isinstance(facts.get(holder), dict):
            lines += [(name, f"{rows:,}", "", "") for name, rows in facts[holder].items()]
    if isinstance(facts.get("rows"), int):
        lines.append(("rows", f"{facts['rows']:,}", "", ""))
    return lines


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    return table


def as_number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.4f}"


def _short(text: str | None) -> str:
    flat = " ".join((text or "no text").split())
    return flat if len(flat) <= SHORT else flat[: SHORT - 1] + "…"
