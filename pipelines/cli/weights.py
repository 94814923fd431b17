"""`star convert`, `star merge`: model folders from other forms, and for other servers."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.shared import console


def convert(
    gguf: Annotated[Path, typer.Argument(help="A GGUF file of a llama-shaped model.")],
    folder: Annotated[Path, typer.Argument(help="The model folder to write; not there yet.")],
) -> None:
    """Unpack a GGUF file into a model folder that `[text.vN.encoder] model = ` accepts.

    Needs the package gguf: `pip install gguf`.
    """
    from star_features.text.convert import convert as work

    work(gguf, folder)
    console.print(f'A model folder: [text.vN.encoder] model = "{folder}"', markup=False)
