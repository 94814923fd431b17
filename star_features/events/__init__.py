"""Events: what may arrive, in which order it counts, and when it is worked on. No I/O, no clock."""
