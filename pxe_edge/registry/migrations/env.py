"""How alembic runs the versions: on the connection that the edge hands in, in one transaction."""

from alembic import context

from pxe_edge.registry import site_tables, tables

assert site_tables.Base is tables.Base  # both halves of the tables are known to the metadata
context.configure(connection=context.config.attributes["connection"], target_metadata=tables.Base.metadata)
with context.begin_transaction():
    context.run_migrations()
