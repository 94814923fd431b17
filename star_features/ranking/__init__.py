"""Ranking: what a downstream team does with the features, from pair features to a score."""
