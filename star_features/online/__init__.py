"""
Fast online stores: Feast's SQLite, Redis and Postgres stores, same data, less work per row.

Named by class path in `feature_store.yaml`, and otherwise configured as Feast's own:

    online_store:
      type: star_features.online.sqlite.FastSqliteOnlineStore
      path: ../.star/online.db

    star_features.online.redis.FastRedisOnlineStore
    star_features.online.postgres.FastPostgreSQLOnlineStore

What they write, Feast's own stores read, and the other way round. On top of Feast's interface they
read and write whole columns of stored bytes (`columns.py`), and hold one order everywhere: a row
with an older event time never replaces a newer one; at an equal event time the newer `created`
wins, and the same row may be written again.
"""
