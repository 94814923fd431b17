"""What the graph benchmarks share: a synthetic power-law world, and the textbook's network."""

import os

# DGL asks for its backend in a file of the home folder otherwise, and spins without the other.
os.environ.setdefault("DGLBACKEND", "pytorch")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
