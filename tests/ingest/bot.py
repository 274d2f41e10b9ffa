"""The handler that the tests' jobs name. A file's first word says what befalls it."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import sqlalchemy as sa

TABLE = "create table effects (name text not null, content text not null, size bigint, md5 text, version int)"
_EFFECT = sa.text("insert into effects values (:name, :content, :size, :md5, :version)")


def import_file(file, db):
    """One row a file, whatever else it does."""
    content = file.path.read_text()
    row = {"name": file.key, "content": content, "size": file.size, "md5": file.md5, "version": file.version}
    db.execute(_EFFECT, row)
    match content.partition(" ")[0]:
        case "poison":
            raise ValueError("it cannot be\nread")
        case "exits":
            raise SystemExit(3)
        case "commits":
            db.commit()
        case "insists":
            try:
                db.commit()
            except Exception:  # noqa: BLE001 - as careless code does
                db.rollback()
        case "refused":
            db.execute(_EFFECT, row | {"name": None})
        case "kills":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleeps":
            time.sleep(0.3)
        case "grows":
            with file.path.open("a") as local:
                local.write("more")
        case "cancelled":
            raise asyncio.CancelledError
        case "unspeakable":
            raise Unspeakable
        case "mangled":
            raise ValueError("\0 \udcff \x1b[31m" + "x" * 1_000_000)
        case "interrupted":
            raise KeyboardInterrupt
        case "dies":
            if os.environ.get("DIE"):
                os.kill(os.getpid(), signal.SIGKILL)


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError
