"""The catalog in a SQL database: SQLite and PostgreSQL."""

from trueup.catalog.sql.catalog import open_sql, upgrade

__all__ = ["open_sql", "upgrade"]
