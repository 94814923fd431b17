"""The digest of every part of the history, by which an audit knows a damaged one."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("part", sa.Column("sha256", sa.String(length=200), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("part", schema=None) as batch_op:
        batch_op.drop_column("sha256")
