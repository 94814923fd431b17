"""Runs the migrations on the connection that `Ledger.open` hands over."""

from alembic import context

from star_features.ledger.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
context.run_migrations()
