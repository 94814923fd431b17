"""
The categorical features, exactly as the input tables have them.

Which columns there are is written by the input stage (`tables/schema.json` in the home folder).
Before its first run there are none, and the views are left out.
"""

import json
from datetime import timedelta

from entities import job, member
from feast import Entity, FeatureView, Field
from feast.types import String
from sources import HOME, history

SCHEMA = HOME / "tables" / "schema.json"
TABLES = json.loads(SCHEMA.read_text())["tables"] if SCHEMA.exists() else {}


def attribute_view(entity: Entity) -> FeatureView | None:
    columns = TABLES.get(f"{entity.name}s", {}).get("categorical", [])
    if not columns:
        return None
    name = f"{entity.name}_attributes"
    keys = [Field(name=entity.join_key, dtype=String)]
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=timedelta(0),
        schema=keys + [Field(name=column, dtype=String) for column in columns],
        source=history(name),
        online=True,
    )


member_attributes = attribute_view(member)
job_attributes = attribute_view(job)
