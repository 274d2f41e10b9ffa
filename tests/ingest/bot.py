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
        case "refused":
            db.execute(_EFFECT, row | {"name": None})
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
        case word:
            end(word, db)
            die(word)


def end(word, db):
    """Try to end the transaction."""
    match word:
        case "commits":
            db.commit()
        case "insists":
            try:
                db.commit()
            except Exception:  # noqa: BLE001 - as careless code does
                db.rollback()
        case "writes":
            db.connection.driver_connection.executescript("create table more (a); insert into more values (1)")
        case "says":
            db.exec_driver_sql("commit")
            raise ValueError("too late")
        case "undoes":
            db.exec_driver_sql(" Rollback")


def die(word):
    match word:
        case "kills":
            os.kill(os.getpid(), signal.SIGKILL)
        case "forks":
            if os.environ.get("DIE"):
                if not os.fork():
                    os.closerange(0, 3)
                    time.sleep(20)
                    os._exit(0)
                os.kill(os.getpid(), signal.SIGKILL)
        case "dies":
            if os.environ.get("DIE"):
                os.kill(os.getpid(), signal.SIGKILL)


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError
