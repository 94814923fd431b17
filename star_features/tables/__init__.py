"""The input contract: other people's tables in, canonical tables and a quarantine out."""
