"""
Events, nearline: from what happened to a vector that a ranker can read, in a fraction of a second.

    settings   events.toml and the environment        sources, kafka   where events come from
    base       the tables, warm in memory             towers           models, warm in memory
    apply      one batch: decide, compute, write      worker           the loop around it
    history    rows on their way to Parquet           demo             one event, end to end
"""
