"""
What a ranker reads, under names that stay while the versions behind them change.

    member_text  job_text    the text tower          member_star  job_star    the graph tower

`[stable]` in `spaces.toml` says which pair is behind a name: moving it is one line there and
`star apply`, and the two sides move together.
"""

from attributes import job_attributes, member_attributes
from embedding_views import CATALOGUE, VIEWS
from feast import FeatureService, FeatureView

from star_features.catalogue import Entity


def reads(entity: Entity, attributes: FeatureView | None) -> list[FeatureView]:
    stable = [
        VIEWS[pair.view(entity)].with_name(f"{entity}_{name}")
        for name, pair in CATALOGUE.stable_pairs().items()
    ]
    return stable + ([attributes] if attributes is not None else [])


MEMBER = reads("member", member_attributes)
JOB = reads("job", job_attributes)

# Two services online (one member, then hundreds of jobs), their union for training sets.
ranker_member = FeatureService(name="ranker_member", features=MEMBER)
ranker_job = FeatureService(name="ranker_job", features=JOB)
ranker = FeatureService(name="ranker", features=MEMBER + JOB)
