"""Where features lie: their history as Parquet, the online store, and the joins over both."""
