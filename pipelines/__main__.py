"""`python -m pipelines` is `star`."""

from pipelines.cli import main

main()
