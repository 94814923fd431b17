"""What the graph benchmarks share: a synthetic power-law world, and the textbook's network."""
