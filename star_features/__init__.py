"""star-features: versioned text and graph embeddings for Feast, and the maps between versions.

Importing this package is cheap: no torch, no dgl, no feast. Import the part you need.
"""

__version__ = "0.1.0"
