"""Evaluation: metrics, protocols, slices, baselines and the figure of `star demo`."""
