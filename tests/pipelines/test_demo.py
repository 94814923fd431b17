"""`star demo`, as the README has it, on a world of a few members and a network of a second."""

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app


@pytest.mark.demo
def test_the_demo_ends_in_its_tables_and_a_second_call_has_nothing_to_do(make_home) -> None:
    home = make_home("demo")
    command = ["demo", "--members", "150", "--home", str(home.path), "--repo", str(home.repo)]
    first = CliRunner().invoke(app, command, catch_exceptions=False)
    assert first.exit_code == 0, first.output
    for shown in ("What was built", "(simulated)", "attainable", "cold members", "Best of"):
        assert shown in first.output
    assert (home.report / "report.png").exists()
    again = CliRunner().invoke(app, command, catch_exceptions=False)
    assert again.output.count("skipped") == len(home.stages())
