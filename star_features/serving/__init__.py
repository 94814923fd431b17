"""
What a ranker imports: one member and hundreds of jobs, as arrays, in one call.

    from feast import FeatureStore
    from star_features.serving import FeatureReader

    reader = FeatureReader(FeatureStore("feature_repo"), "ranker")
    request = reader.read("member-7", job_ids)
    scores_N = request.jobs["job_star"].vectors_ND @ request.member["member_star"].vectors_ND[0]

Imports numpy, and neither torch nor pandas; Feast is whatever the caller already opened.
"""

from star_features.serving.reader import FeatureReader
from star_features.serving.request import Entities, RankerRequest, Signal

__all__ = ["Entities", "FeatureReader", "RankerRequest", "Signal"]
