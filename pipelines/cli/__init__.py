"""The command `star`: one module a group of commands, `show` for what they print."""

from pipelines.cli.main import main

__all__ = ["main"]
