"""How alembic runs the versions: on the connection that the edge hands in, in one transaction."""

from alembic import context

from pxe_edge.registry import tables

context.configure(connection=context.config.attributes["connection"], target_metadata=tables.Base.metadata)
with context.begin_transaction():
    context.run_migrations()
