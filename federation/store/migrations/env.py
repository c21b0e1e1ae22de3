"""Alembic's entry point. The connection, its transaction and its lock come from `federation.store.upgrade`."""

from alembic import context

from federation.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite alters little in place: later steps rebuild a table in a batch.
    render_as_batch=True,
)
context.run_migrations()
