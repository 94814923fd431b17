"""Compatibility: maps between embedding spaces, what they keep, and when they need a refit."""
