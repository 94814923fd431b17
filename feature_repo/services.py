"""
What a ranker reads, under names that stay while the versions behind them change.

    member_text  job_text    the text tower          member_star  job_star    the graph tower

Moving a stable name to another version is the one edit of a release, in `STABLE`.
"""

from attributes import job_attributes, member_attributes
from feast import FeatureService, FeatureView
from job_graph import job_graph_v1
from job_text import job_text_v1
from member_graph import member_graph_v1
from member_text import member_text_v1

STABLE = {
    "member_text": member_text_v1,
    "member_star": member_graph_v1,
    "job_text": job_text_v1,
    "job_star": job_graph_v1,
}


def reads(entity: str, attributes: FeatureView | None) -> list[FeatureView]:
    stable = [view.with_name(name) for name, view in STABLE.items() if name.startswith(entity)]
    return stable + ([attributes] if attributes is not None else [])


MEMBER = reads("member", member_attributes)
JOB = reads("job", job_attributes)

# Two services online (one member, then hundreds of jobs), their union for training sets.
ranker_member = FeatureService(name="ranker_member", features=MEMBER)
ranker_job = FeatureService(name="ranker_job", features=JOB)
ranker = FeatureService(name="ranker", features=MEMBER + JOB)
