"""
The audit: do source, ledger, history and online store say the same of every entity?

    bench.py       a scratch DuckDB on disk, so that memory does not grow with the entities
    reading.py     what each of the four holds of a view, as Arrow batches
    parts.py       the history's files: there, whole, and as the ledger knows them?
    judge.py       what is wrong with which entity, and what mends it
    mend.py        mending what needs no model: files, history, ledger, online store

`pipelines/audit.py` says what the source of each view is, and runs the stages that compute anew.
"""
