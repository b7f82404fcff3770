"""Alembic's environment: the connection is handed over by `nightledger.operations`."""

from alembic import context

from nightledger.operations.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
