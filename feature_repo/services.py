"""
What a ranker reads, under names that stay while the versions behind them change.

    member_text  job_text    the text tower          member_star  job_star    the graph tower

`[stable]` in `spaces.toml` says which pair is behind a name: `star release` moves it, the two sides
together. A service of its own, `[services.NAME]`, is for rankers of another language.
"""

from attributes import job_attributes, member_attributes
from embedding_views import CATALOGUE, VIEWS
from feast import FeatureService, FeatureView

from star_features.catalogue import Entity

ATTRIBUTES = {"member": member_attributes, "job": job_attributes}


def reads(service: str, entity: Entity) -> list[FeatureView]:
    """What one side of a service holds: its stable names, and the attributes as they are."""
    stable = [
        VIEWS[pair.view(entity)].with_name(f"{entity}_{name}")
        for name, pair in CATALOGUE.stable_pairs(service).items()
    ]
    attributes = ATTRIBUTES[entity]
    return stable + ([attributes] if attributes is not None else [])


def services(name: str) -> list[FeatureService]:
    """The service whose one row says what both sides are, and each side alone for Feast's client:
    one member, then hundreds of jobs."""
    member, job = reads(name, "member"), reads(name, "job")
    return [
        FeatureService(name=name, features=member + job),
        FeatureService(name=f"{name}_member", features=member),
        FeatureService(name=f"{name}_job", features=job),
    ]


SERVICES = {made.name: made for name in CATALOGUE.all_services() for made in services(name)}
globals().update(SERVICES)  # `feast apply` takes what a module has a name for
