"""
Erasing an entity: everything of it that can be found is removed, by kind of place.

    subject.py     who: ids, texts, and how a row or a document is known to be about them
    rows.py        Parquet: tables, histories, training sets
    documents.py   JSON: receipts, vocabularies of models; and a model's own row of an id
    records.py     the ledger: vectors, quarantine, outbox
    residue.py     what is left in freed pages of SQLite, and the search that proves it gone

`pipelines/erase.py` says in which order, and writes the receipt. Each of these can be run again.
"""
