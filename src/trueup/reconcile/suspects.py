"""What was missing when it was first looked for, from books whose rows have no times: only the second time, one grace
later, does it count as missing."""

from __future__ import annotations

import sqlite3
import time
from datetime import timedelta
from pathlib import Path

from trueup.reconcile.compare import IN_FLIGHT, MISSING
from trueup.reconcile.findings import Findings


class Suspects:
    """The suspects of one reference, on this machine."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute(
            "create table if not exists suspect (provider text, key blob, since real, primary key (provider, key))"
            " without rowid"
        )
        self._db.execute("create temp table now (provider text, key blob, primary key (provider, key)) without rowid")

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    def judge(self, provider: str, findings: Findings, grace: timedelta, *, remember: bool) -> None:
        """Put off the verdict on what is missing for the first time; forget those that are not missing any more."""
        now = time.time()
        self._db.execute("begin immediate")
        try:
            for page in findings.pages(provider):
                for found in page:
                    if found.verdict != MISSING or found.row is None or found.row.at is not None:
                        continue
                    here = (provider, found.key.encode("utf-8", "surrogatepass"))
                    self._db.execute("insert or ignore into now values (?, ?)", here)
                    self._db.execute("insert or ignore into suspect values (?, ?, ?)", (*here, now))
                    (since,) = self._db.execute(
                        "select since from suspect where provider = ? and key = ?", here
                    ).fetchone()
                    if grace and now - since < grace.total_seconds():
                        findings.put(found._replace(verdict=IN_FLIGHT, detail="missing for the first time"))
            self._db.execute(
                "delete from suspect where provider = ? and not exists"
                " (select 1 from now where now.provider = suspect.provider and now.key = suspect.key)",
                (provider,),
            )
        finally:
            self._db.execute("commit" if remember else "rollback")
