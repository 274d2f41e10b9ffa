"""What a front end does: it reads the file, and never waits for the sheet: python page.py"""

from __future__ import annotations

import sqlite3
from contextlib import closing

SNAPSHOTS = """
    SELECT DATE(snapshot_time) as date, followers, views FROM account_snapshots WHERE account_id = ?
    ORDER BY snapshot_time DESC LIMIT 30
"""


def main() -> None:
    with closing(sqlite3.connect("file:accounts.db?mode=ro", uri=True)) as db:
        accounts = db.execute("SELECT id, key, followers, views FROM accounts WHERE deleted_at IS NULL ORDER BY key")
        for number, key, followers, views in accounts.fetchall():
            print(
                f"{key}: {followers} followers, {views} views, {len(db.execute(SNAPSHOTS, (number,)).fetchall())} days"
            )


if __name__ == "__main__":
    main()
