"""Taking files over SFTP, beside rclone; what a pass over known files costs, beside a listing; and over a million."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

from bench import inputs, over_ssh, timing, tools
from tests.servers import kinds

from trueup.catalog.database import open_processed
from trueup.config import StoreConfig
from trueup.stores import open_store

FILES = 3253
EXTRA_MS = 50.0
KEYS = 1_000_000
MEMORY_MB = 150.0
_ROUNDS = 5
_PASSES = """
import json, os, sys, time
import trueup
from trueup.config import load
from trueup.stores import open_store

def taken(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

def listed():
    settings = load()
    store = open_store(settings.store("drop"), settings.environ)
    assert sum(1 for _ in store.list()) == int(sys.argv[1])
    store.close()

def known():
    run = trueup.ingest("stats")
    assert (run.status, run.counts["already"], run.counts["downloaded"]) == ("ok", int(sys.argv[1]), 0), run

print(json.dumps([(taken(listed), taken(known)) for _ in range(int(sys.argv[2]))]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """Whole commands of one tool: the first takes every file, the next finds nothing new."""

    tool: str
    files: int
    first: timing.Timing
    next: timing.Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Seconds (medians) in one process: merely listing, and a pass in which all files are known."""

    files: int
    listing: float
    known: float

    @property
    def extra_ms(self) -> float:
        """What a pass costs beyond the listing."""
        return 1000 * (self.known - self.listing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Million:
    """`taken`: one pass over names that are all known, in a new process."""

    keys: int
    taken: timing.Timing


def over_sftp(facts: Mapping[str, str], folder: Path, *, say: Callable[[str], None]) -> tuple[Known, list[Passes]]:
    """Files of a match each, a month old."""
    say(f"taking {FILES:,} files over SFTP …")
    home = folder / "ingesting"
    drop = Path(facts["folder"]) / "data" / over_ssh.DROP
    for made in (home, home / "copied"):
        made.mkdir()
    month_ago = time.time() - 30 * 86400
    for number in range(FILES):
        path = drop / f"2024-03-24-{number:06d}-supply-round-1.txt"
        path.write_bytes(os.urandom(500))
        os.utime(path, (month_ago, month_ago))
    (home / "trueup.toml").write_text(
        f'[stores.drop]\nurl = "sftp://{kinds.SFTP_USER}@127.0.0.1:{facts["port"]}/{over_ssh.DROP}"\n'
        f'password = "{kinds.SFTP_PASSWORD}"\nknown_hosts = "{facts["known_hosts"]}"\n'
        '[ingest.stats]\nsource = "drop"\ninto = "local"\n'
    )
    environ = tools.environ({**facts, "endpoint": "none"}, home)
    environ |= over_ssh.rclone_remote(facts["port"], facts["known_hosts"], over_ssh.obscured())
    environ |= {"TRUEUP_CONFIG": str(home / "trueup.toml")}
    near = next(place for place in over_ssh.PLACES if place.port == "port")
    at_once = ["--transfers", str(near.transfers), "--checkers", str(near.transfers), "--sftp-disable-hashcheck"]
    commands = {
        "trueup": [str(tools.BIN / "trueup"), "ingest", "stats", "--json"],
        "rclone": [str(tools.BIN / "rclone"), "copy", f"bench:{over_ssh.DROP}", str(home / "copied"), *at_once],
    }
    passes = []
    for tool, command in commands.items():
        first, following = (timing.run(command, environ, folder=home) for _ in range(2))
        passes.append(Passes(tool=tool, files=FILES, first=first, next=following))
        say(f"    {tool:8} {first.seconds:7.2f} s, then {following.seconds:.2f} s")
    arrived = [inputs.digests(into) for into in (home / "local", home / "copied")]
    if arrived != [inputs.digests(drop)] * 2:
        raise timing.Failed(f"not all {FILES} files were taken as they are: {[len(files) for files in arrived]}")
    told = timing.run([sys.executable, "-c", _PASSES, str(FILES), str(_ROUNDS)], environ, folder=home)
    listing, known = (median(column) for column in zip(*json.loads(told.output), strict=True))
    return Known(files=FILES, listing=listing, known=known), passes


def many(facts: Mapping[str, str], folder: Path, *, say: Callable[[str], None]) -> Million:
    """Names that are all known, listed by a bucket."""
    say(f"a pass over {KEYS:,} known names …")
    home = folder / "ingesting-many"
    home.mkdir()
    environ = tools.environ(facts, home)
    url = f"s3://keys-{KEYS}-left"
    (home / "trueup.toml").write_text(f'[ingest.stats]\nsource = "{url}"\ninto = "local"\n')
    store = open_store(StoreConfig(url=url), environ)
    processed = open_processed(f"sqlite:///{home / 'trueup.db'}", "stats")
    entries = store.list()
    while page := list(islice(entries, 10_000)):
        processed.assume((entry.key, entry.size) for entry in page)
        processed.note((entry.key, entry.size, entry.fingerprint) for entry in page)
    processed.close()
    store.close()
    command = [str(tools.BIN / "trueup"), "ingest", "stats", "--json", "--config", str(home / "trueup.toml")]
    taken = timing.run(command, environ, folder=home)
    counts = json.loads(taken.output)["counts"]
    if (counts["already"], counts["downloaded"]) != (KEYS, 0):
        raise AssertionError(f"not all were known: {counts}")
    return Million(keys=KEYS, taken=taken)
