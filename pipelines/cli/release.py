"""`star release …`: a version's way from candidate to retired, each step gated and recorded."""

from typing import Annotated

import typer

from pipelines.cli import show_gate
from pipelines.cli import show_release as show
from pipelines.cli.shared import HomeOption, RepoOption, console, run_stage
from pipelines.home import Home
from pipelines.release.desk import Why, caller
from star_features.catalogue import KINDS, Kind
from star_features.errors import UsageError

app = typer.Typer(
    name="release",
    help="Releases of versions: `candidate → shadow → current → retiring → retired`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

KindArgument = Annotated[str, typer.Argument(help="text or graph")]
VersionArgument = Annotated[str, typer.Argument(help="A version of spaces.toml: v2.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is recorded.")]
ForcedOption = Annotated[
    bool, typer.Option("--force", help="Past what stands against it; needs --reason.")
]
LanguageOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SERVICE=vN", help="This service's rankers speak another language from now on."
    ),
]
WhoOption = Annotated[str | None, typer.Option("--who", help="Who asks [the account].")]


@app.command()
def status(
    steps: Annotated[int, typer.Option(help="Show so many of the last steps.")] = 10,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Where every version stands, what readers read, and whether all places agree on it."""
    from pipelines.release import status as job

    show.status(console, job.status(Home.find(home, repo)), steps)


@app.command()
def plan(
    kind: KindArgument, version: VersionArgument, home: HomeOption = None, repo: RepoOption = None
) -> None:
    """What stands between a version and its readers, with the command for each; changes nothing."""
    from pipelines.release import status as job

    show.plan(console, kind, version, job.plan(Home.find(home, repo), _kind(kind), version))


@app.command()
def shadow(
    kind: KindArgument,
    version: VersionArgument,
    reason: ReasonOption = "",
    who: WhoOption = None,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Write a version beside what is served: its vectors, and the old languages filled by it.

    Computes what is missing: vectors, maps, mapped views, Feast's definitions, online rows.
    """
    from pipelines.release import lifecycle as job

    place = Home.find(home, repo)
    for build in job.shadow(place, _kind(kind), version, _why(who, reason)):
        run_stage(place, build(), force=False)
    console.print(f"{kind} {version} is in shadow. Next: star release check {kind} {version}")


@app.command()
def check(
    kind: KindArgument,
    version: VersionArgument,
    language: LanguageOption = None,
    who: WhoOption = None,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """The gate: what each map keeps, and what each registered consumer would score.

    Exit code 8 where a figure is beyond its bound. Bounds: `[gate]` in spaces.toml.
    """
    from pipelines.release import check as job

    place, why = Home.find(home, repo), _why(who, "")
    found = job.run(place, _kind(kind), version, why, _languages(language or []))
    show_gate.verdict(console, kind, version, found)
    if not found.verdict.green:
        raise job.red(kind, version, [job.said(bound) for bound in found.verdict.failed])


@app.command()
def promote(
    kind: KindArgument,
    version: VersionArgument,
    language: LanguageOption = None,
    force: ForcedOption = False,
    reason: ReasonOption = "",
    who: WhoOption = None,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Let readers read what this version makes, each in its own language, in one step.

    Refused where the gate is red or a view is not whole. Killed, the same command goes on.
    """
    from pipelines.release import move as job

    place = Home.find(home, repo)
    why = _why(who, reason, force)
    show.moved(console, job.promote(place, _kind(kind), version, why, _languages(language or [])))


@app.command()
def rollback(
    kind: KindArgument,
    force: ForcedOption = False,
    reason: ReasonOption = "",
    who: WhoOption = None,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Undo the last promotion of this kind, in one step."""
    from pipelines.release import move as job

    place = Home.find(home, repo)
    show.moved(console, job.rollback(place, _kind(kind), _why(who, reason, force)))


@app.command()
def retire(
    kind: KindArgument,
    version: VersionArgument,
    reason: ReasonOption = "",
    who: WhoOption = None,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """End a version that nobody reads any more: nothing is computed for it from now on."""
    from pipelines.release import lifecycle as job

    place = Home.find(home, repo)
    job.retire(place, _kind(kind), version, _why(who, reason))
    console.print(
        f"{kind} {version} is retired. Its entries may leave spaces.toml: \\[{kind}.{version}] and "
        f"\\[mapped.{kind}.{version}]; then: star apply"
    )


def _kind(word: str) -> Kind:
    if word not in KINDS:
        raise UsageError(f"{word!r} is no kind of model; wanted text or graph: graph v2")
    return word


def _why(who: str | None, reason: str, force: bool = False) -> Why:
    return Why(who or caller(), reason, force)


def _languages(given: list[str]) -> dict[str, str]:
    parts = [text.partition("=") for text in given]
    if wrong := [text for text, part in zip(given, parts, strict=True) if not part[1]]:
        raise UsageError(f"--language {wrong[0]}; wanted SERVICE=vN, such as ranker=v2")
    return {service: version for service, _, version in parts}
