"""When, and in which order: each job reads its settings, reads, computes, writes, leaves a receipt.

`star` (pipelines.cli) is the command line over these jobs. The computing is in star_features.
"""
