"""How a space becomes a feature view. A new version is one line in its signal's file."""

from datetime import timedelta

from entities import job, member
from feast import FeatureView, Field
from feast.types import Array, Float32, String
from sources import REPO, history

from star_features.catalogue import Catalogue

CATALOGUE = Catalogue.load(REPO / "spaces.toml")


def embedding_view(name: str) -> FeatureView:
    """The feature view of one space of `spaces.toml`: the vector, and the id of its space."""
    space = CATALOGUE.of_view(name)
    entity = {"member": member, "job": job}[name.split("_")[0]]
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=timedelta(0),  # never too old to serve: freshness is measured, not enforced
        schema=[
            Field(name=entity.join_key, dtype=String),
            Field(name="vector", dtype=Array(Float32), description=f"{space.width} wide, unit"),
            Field(name="space", dtype=String, description="compare only with the same id"),
        ],
        source=history(name),
        online=True,
        tags={"width": str(space.width), "metric": space.metric},
    )
