"""The command `star`: one module a group of commands, `show` for what they print."""

import os

# Before torch or dgl is loaded: threads that wait by spinning are slow on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pipelines.cli import train
from pipelines.cli.main import app, main

app.add_typer(train.app, name="train")

__all__ = ["main"]
