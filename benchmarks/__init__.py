"""How fast, against whom: one script per claim, `python -m benchmarks.NAME [--quick]`."""
