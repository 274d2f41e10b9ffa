"""Takes new match files and tells of new rounds: python bot.py [--once] [--ask NAME]"""

from __future__ import annotations

import argparse
import random
import sys
import time

import sqlalchemy as sa
from importer import sessions

import trueup

POLL = 30.0
"""Seconds between two looks at the server."""
database = sa.create_engine("sqlite:///stats.db")


def tell() -> None:
    """Say each new round. It is marked after it was said: a bot that dies in between says it again, and never keeps one
    to itself."""
    c = sessions.c
    rounds = sa.case((c.round1_file.is_not(None), 1), else_=0) + sa.case((c.round2_file.is_not(None), 1), else_=0)
    with database.connect() as db:
        found = db.execute(sa.select(sessions, rounds.label("rounds")).where(c.told < rounds).order_by(c.id))
        new = found.mappings().all()
    for row in new:
        said = [
            f"round {number}: {row[f'round{number}_winner']} win in {row[f'round{number}_time']}"
            for number in (1, 2)
            if row[f"round{number}_file"] is not None
        ]
        print(f"{row['map']}: {'; '.join(said)}", flush=True)
        with database.begin() as db:
            db.execute(sessions.update().where(c.id == row["id"]).values(told=row["rounds"]))


def look() -> int:
    """Take what is new, and tell of it. The exit code of the run. Files that fail are logged, to stderr."""
    run = trueup.ingest("stats")
    if run.reason:
        print(f"the server: {run.reason}", file=sys.stderr)
    if sa.inspect(database).has_table("sessions"):
        tell()
    return run.exit_code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="look once instead of again and again")
    parser.add_argument("--ask", metavar="NAME", help="only say whether a file still is to be taken")
    given = parser.parse_args()
    try:
        if given.ask:
            new, layer = trueup.should_process("stats", given.ask)
            print("new" if new else f"taken, says {layer}")
            return 0
        while True:
            code = look()
            if given.once:
                return code
            time.sleep(POLL * random.uniform(0.9, 1.1))  # noqa: S311 - so that many bots do not ask at once
    except trueup.errors.TrueupError as error:
        print(f"bot: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
