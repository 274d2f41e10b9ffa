"""Bringing a database's tables up to date, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from trueup.catalog.sql.engine import reading
from trueup.errors import TrueupError

HEAD: Final = "0008"
"""The newest revision in `migrations/versions`; a test compares."""


def current(engine: sa.Engine) -> str:
    """The revision a database has; empty for none."""
    with reading(engine) as db:
        if not sa.inspect(db).has_table("alembic_version"):
            return ""
        return str(db.scalar(sa.text("select version_num from alembic_version")) or "")


def known(engine: sa.Engine) -> str:
    """The revision a database has. Raises `TrueupError` for one of a newer trueup."""
    found = current(engine)
    if found > HEAD:
        name = engine.url.render_as_string(hide_password=True)
        raise TrueupError(
            f"the database {name} is of a newer trueup: it has revision {found}, and this version knows {HEAD}",
            cure="Update trueup here too: pip install --upgrade trueup",
        )
    return found


def require(engine: sa.Engine) -> None:
    """Raise `TrueupError` unless the database is up to date."""
    found = known(engine)
    if found != HEAD:
        name = engine.url.render_as_string(hide_password=True)
        what = f"has the tables of revision {found}" if found else "has no tables of trueup yet"
        raise TrueupError(f"the database {name} {what}, and {HEAD} is needed", cure="Run: trueup db upgrade")


def upgrade(engine: sa.Engine) -> str:
    """Take every step that is missing; the revision it then has."""
    if known(engine) != HEAD:
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with engine.begin() as db:  # one transaction: on SQLite it shuts out another process that would do the same
            config.attributes["connection"] = db
            command.upgrade(config, "head")
    return HEAD
