"""
What a simulated world knows of itself: the latents behind members and jobs, for evaluation only.

    table = member_truth(members)       # written to truth/, which no stage of the pipeline reads
"""

import pyarrow as pa

from star_features.market import reading
from star_features.market.jobs import Jobs
from star_features.market.landscape import Landscape
from star_features.market.members import Members
from star_features.market.writing import job_id, member_id


def member_truth(landscape: Landscape, members: Members) -> pa.Table:
    """True occupation, skills, wishes, and the taste at each point in time (row by row)."""
    return pa.table(
        {
            "member_id": [member_id(members.first + row) for row in range(len(members))],
            "occupation": [landscape.occupations[row].label for row in members.occupation_M],
            "skills": skill_names(landscape, members.skills_MS.tolist()),
            "vector": pa.array(members.vectors_MK.tolist(), pa.list_(pa.float32())),
            "aim": [reading.SENIORITIES[level] for level in members.aim_M],
            "city": [reading.CITIES[city][0] for city in members.city_M],
            "wants_remote": members.remote_M,
            "taste": pa.array(
                members.taste_MQT.reshape(len(members), -1).tolist(), pa.list_(pa.float32())
            ),
            "cold": members.cold_M,
        }
    )


def job_truth(landscape: Landscape, jobs: Jobs) -> pa.Table:
    """True occupation, skills, taste, popularity, and when a job closed."""
    return pa.table(
        {
            "job_id": [job_id(row) for row in range(len(jobs))],
            "occupation": [landscape.occupations[row].label for row in jobs.occupation_J],
            "skills": skill_names(landscape, jobs.skills_JS.tolist()),
            "vector": pa.array(jobs.vectors_JK.tolist(), pa.list_(pa.float32())),
            "taste": pa.array(jobs.taste_JT.tolist(), pa.list_(pa.float32())),
            "popularity": jobs.popularity_J,
            "closed_at": pa.array(jobs.closed_J, pa.timestamp("us", tz="UTC")),
            "cold": jobs.cold_J,
        }
    )


def skill_names(landscape: Landscape, rows: list[list[int]]) -> pa.Array:
    names = [skill.label for skill in landscape.skills]
    return pa.array([[names[skill] for skill in row] for row in rows], pa.list_(pa.string()))
