"""The same handler, beside a hook that writes, and lets what the database refuses pass."""

from __future__ import annotations

from contextlib import suppress

import sqlalchemy as sa

from tests.ingest.bot import import_file

__all__ = ["already_done", "import_file"]


def already_done(entry, db):
    """Always no."""
    db.execute(sa.text("insert into effects (name, content) values (:name, 'by the hook')"), {"name": entry.key})
    with suppress(sa.exc.DBAPIError):
        db.execute(sa.text("select * from a_table_that_is_not_there"))
    return False
