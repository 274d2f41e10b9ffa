"""What Alembic runs: every step that is missing, over the connection it was given."""

from alembic import context

from trueup.catalog.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
