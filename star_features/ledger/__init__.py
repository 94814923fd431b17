"""The ledger: what was computed from what, written where, by whom. See schema.py."""
