"""
Point-in-time reads of long histories of wide vectors, behind Feast's own interface.

    # feature_store.yaml
    offline_store:
      type: star_features.offline.store.StarOfflineStore
      memory_limit: 2GB

`store` is what Feast loads; `plan` turns its request into lookups; `sources` finds the files;
`picks` joins on keys and times only; `fetch` reads the rows that were picked, once; `job` hands
them out as one table or as a stream. What differs from Feast's own DuckDB store, and why:
docs/offline-store.md.
"""
