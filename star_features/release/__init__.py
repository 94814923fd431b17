"""Releases: what may be served, on which evidence, and how readers are moved in one step."""
