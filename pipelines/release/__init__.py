"""Releases, step by step: each reads where things stand, checks, changes, and leaves a record."""
