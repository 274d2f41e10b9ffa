"""What a merge of records costs beside a plain loop, and what reading the read model saves."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from statistics import median

from bench import timing, tools

from trueup import records
from trueup.config import load
from trueup.records.config import FIELDS, records_config
from trueup.records.readmodel import ReadModel
from trueup.testing import SheetsServer

ACCOUNTS = 5_000
CHANGED = 500
CPU = 1.0
"""Seconds of a run, start-up included."""
REQUESTS = 3
"""To Sheets, at most."""
LATE = 0.2
"""Seconds until a sheet's server answers."""
FASTER = 40
PROJECTS = 1_000
MANY = 100_000
DAYS = 365
GROWTH_MS = 100.0
_ROUNDS = 15
_LOOP = """
import csv, sqlite3, sys
db = sqlite3.connect("plain.db")
names = sys.argv[1].split()
db.execute(f"create table if not exists accounts (profile_url text primary key, {', '.join(names)})")
kept = ", ".join(f"{name} = max({name}, excluded.{name})" for name in names)
for file in ("Space.csv", "fresh.csv"):
    for row in csv.DictReader(open(file)):
        db.execute(
            f"insert into accounts values ({', '.join('?' * (len(names) + 1))}) on conflict do update set {kept}",
            [row["profile_url"], *(int(row[name]) for name in names)],
        )
db.commit()
"""
_READS = """
import json, sqlite3, sys, time, urllib.request
from statistics import median
path, query, url = sys.argv[1:]
db = sqlite3.connect(path)

def taken(work, rounds):
    def once():
        began = time.perf_counter()
        work()
        return time.perf_counter() - began
    return median(once() for _ in range(rounds))

stored = taken(lambda: db.execute(query).fetchall(), 101)
print(json.dumps([stored, taken(lambda: json.loads(urllib.request.urlopen(url).read())["values"], 15)]))
"""
_SETTINGS = """
[records.parsed]
kind = "csv"
path = "fresh.csv"
[[records.projects]]
id = "space"
name = "Space"
"""
_GOOGLE = """
[records.sheets]
endpoint = "{endpoint}"
spreadsheet = "{book}"
credentials = "key.json"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A run into an empty read model, one with nothing new, one after some rows changed; and the same by a loop that
    reads two files and writes row by row, which keeps neither history nor reasons."""

    first: timing.Timing
    unchanged: timing.Timing
    changed: timing.Timing
    loop: timing.Timing
    loop_again: timing.Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Seconds to have the list of accounts, as the sheet shows them: from the read model, and from a server that
    answers late; medians in a process that does nothing else."""

    stored: float
    fetched: float

    @property
    def faster(self) -> float:
        """How many times."""
        return self.fetched / self.stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """Milliseconds for the growth of all accounts of one project, among many snapshots."""

    accounts: int
    snapshots: int
    taken_ms: float


def merging(folder: Path, *, say: Callable[[str], None]) -> Merged:
    """Five numbers an account, in a spreadsheet and a CSV file; for the loop in two files."""
    say(f"merging {ACCOUNTS:,} accounts …")
    home = folder / "records"
    home.mkdir()
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "TRUEUP_HOME": str(home / "state")}

    def sync(server: SheetsServer, changed: int) -> timing.Timing:
        command = [str(tools.BIN / "trueup"), "records", "sync", "--json", "--config", str(home / "trueup.toml")]
        server.requests.clear()
        taken = timing.run(command, environ, folder=home)
        [result] = json.loads(taken.output)["results"]
        if (result["updated_count"], result["changed_count"]) != (ACCOUNTS, changed):
            raise AssertionError(f"not what was to be merged: {result['updated_count']}, {result['changed_count']}")
        if (asked := server.count()) > REQUESTS:
            raise AssertionError(f"{asked} requests to Sheets")
        return taken

    def loop() -> timing.Timing:
        code = f"import os; os.chdir({str(home)!r})\n{_LOOP}"
        return timing.run([sys.executable, "-c", code, " ".join(FIELDS)], environ, folder=home)

    _write(home / "Space.csv", _rows(lambda number: number))
    _write(home / "fresh.csv", _rows(lambda number: number + 1))
    with SheetsServer() as server:
        book = server.add("Numbers", {"Space": _rows(lambda number: number)})
        (home / "key.json").write_text(json.dumps(server.key))
        (home / "trueup.toml").write_text(_GOOGLE.format(endpoint=server.endpoint, book=book.id) + _SETTINGS)
        first, unchanged = sync(server, ACCOUNTS), sync(server, 0)
        _write(home / "fresh.csv", _rows(lambda number: number + (2 if number < CHANGED else 1)))
        changed = sync(server, CHANGED)
    return Merged(first=first, unchanged=unchanged, changed=changed, loop=loop(), loop_again=loop())


def reading(folder: Path, *, say: Callable[[str], None]) -> Read:
    """The list of the accounts that `merging` left."""
    say("reading them …")
    with closing(sqlite3.connect(folder / "records" / "accounts.db")) as db:
        query = f"select profile_url, {', '.join(FIELDS)} from accounts where deleted_at is null"
        rows = db.execute(query).fetchall()
    if len(rows) != ACCOUNTS:
        raise AssertionError(f"{len(rows)} accounts")
    body = json.dumps({"values": [list(row) for row in rows]}).encode()

    class Sheet(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(LATE)
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Sheet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        environ = {"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"}
        command = [sys.executable, "-c", _READS, str(folder / "records" / "accounts.db"), query, url]
        taken = timing.run(command, environ, folder=folder)
        server.shutdown()
    stored, fetched = json.loads(taken.output)
    return Read(stored=stored, fetched=fetched)


def growing(folder: Path, *, say: Callable[[str], None]) -> Grown:
    """A year of every account. The rows are made by SQLite itself, in the tables of a read model."""
    say(f"growth among {MANY * DAYS:,} snapshots …")
    home = folder / "records-many"
    home.mkdir()
    projects = "".join(f'[[records.projects]]\nid = "{number}"\nname = "P{number}"\n' for number in range(PROJECTS))
    (home / "trueup.toml").write_text('[records.sheets]\nkind = "csv"\npath = "{name}.csv"\n' + projects)
    settings = load(home / "trueup.toml")
    config = records_config(settings)
    ReadModel(config.database, config.fields).close()
    names = ", ".join(FIELDS)
    with closing(sqlite3.connect(config.database)) as db, db:
        db.executemany("insert into projects values (?, ?, 1)", [(str(n), f"P{n}") for n in range(PROJECTS)])
        db.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?) insert into accounts"
            f" (id, project_id, key, profile_url, {names}) select i, i % {PROJECTS}, 'x.com/' || i, 'x.com/' || i,"
            f" {', '.join('i' for _ in FIELDS)} from n",
            (MANY,),
        )
        db.execute(
            "with recursive d(i) as (select 0 union all select i + 1 from d where i < ?) insert into account_snapshots"
            f" (account_id, snapshot_time, local_date, {names}) select id, date('2026-01-01', '+' || i || ' days')"
            f" || ' 10:00:00', date('2026-01-01', '+' || i || ' days'), {', '.join(f'{n} + i' for n in FIELDS)}"
            " from accounts, d order by id, i",
            (DAYS - 1,),
        )
    [(_, found)] = records.grown("7", settings)
    if len(found) != MANY // PROJECTS or {growth.days for growth in found} != {1}:
        raise AssertionError(f"not what was to grow: {found[:2]}")
    taken = _median(lambda: records.grown("7", settings))
    return Grown(accounts=len(found), snapshots=MANY * DAYS, taken_ms=1000 * taken)


def _rows(number: Callable[[int], int]) -> list[list[str | int]]:
    return [
        ["profile_url", *FIELDS],
        *([f"https://x.com/account{n}", *[number(n)] * len(FIELDS)] for n in range(ACCOUNTS)),
    ]


def _write(path: Path, rows: list[list[str | int]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _median(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return median(taken)
