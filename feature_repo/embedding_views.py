"""
Every space of `spaces.toml`, and every space as filled by a newer version, as a feature view.

A view has the name of its pair and side, `job_graph_v1` or `job_graph_v1_from_v2`, and a history
and an online table of its own. Feast sees the names of this module: `spaces.toml` gives them.
"""

from datetime import timedelta

from entities import job, member
from feast import FeatureView, Field
from feast.types import Array, Float32, String
from sources import REPO, history

from star_features.catalogue import Catalogue

CATALOGUE = Catalogue.load(REPO / "spaces.toml")


def embedding_view(name: str) -> FeatureView:
    """The feature view of one side of a pair: the vector, and the id of its space."""
    space, pair = CATALOGUE.of_view(name), CATALOGUE.pair_of_view(name)
    entity = {"member": member, "job": job}[name.split("_")[0]]
    filled = {"filled_by": pair.filled_by} if pair.filled_by else {}
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
        tags={"width": str(space.width), "metric": space.metric, **filled},
    )


VIEWS = {name: embedding_view(name) for name in CATALOGUE.views()}
globals().update(VIEWS)  # `feast apply` takes what a module has a name for
