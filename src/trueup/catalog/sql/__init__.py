"""The catalog in a SQL database: SQLite and PostgreSQL."""

from trueup.catalog.sql.catalog import check, open_engine, open_sql, upgrade

__all__ = ["check", "open_engine", "open_sql", "upgrade"]
