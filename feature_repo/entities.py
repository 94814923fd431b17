"""Who the features describe."""

from feast import Entity, ValueType

member = Entity(
    name="member",
    join_keys=["member_id"],
    value_type=ValueType.STRING,
    description="A person who looks for work",
)
job = Entity(
    name="job",
    join_keys=["job_id"],
    value_type=ValueType.STRING,
    description="A job posting",
)
