"""The limits: planning two equal buckets of many keys, very large files at once, and the least that a sync takes."""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench import inputs, timing, tools

PLANNING_KEYS = 1_000_000
PLANNING_MB = 150.0
"""Up to so many keys."""
PLANNING_FAR_MB = 200.0
"""Beyond."""
LARGE_MB = 200.0
START_UP = 0.2
"""Seconds."""
PLANNING_SHARE = 0.4
"""Of rclone's time, with `--checksum --fast-list`, at `PLANNING_KEYS`. Beyond it rclone is not asked: it holds both
listings in memory."""
LINEAR = 1.5
"""A key may take this much longer to plan in the largest case than in the middle one, and still count as linear."""
_STARTS = 11
_ROUNDS = 3
TOKEN = re.compile(rb"<NextContinuationToken>(.*?)</NextContinuationToken>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """Planning two buckets of `keys` keys each. The `first` run knows nothing, adopts every pair and records that; the
    `next` one, a dry run, finds nothing to do: up to `PLANNING_KEYS` the median of three, in turns with rclone's, with
    the most memory of any. `server_seconds`: what fetching one side's listing takes without any work on it."""

    keys: int
    server_seconds: float
    first: timing.Timing
    next: timing.Timing
    kept_mb: float | None = None
    """What trueup remembers of the pair afterwards, in 10^6 bytes on the disk."""
    rclone: timing.Timing | None = None
    """A dry run of rclone's over the same buckets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Large:
    """Uploading very large files at once to a server that throws their bytes away."""

    files: int
    size: int
    taken: timing.Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class StartUp:
    """A whole `trueup sync` of two empty folders, again and again: what it takes to begin and to end."""

    runs: list[timing.Timing]

    @property
    def seconds(self) -> float:
        """The median."""
        return median(taken.seconds for taken in self.runs)


def planning(
    facts: Mapping[str, str], folder: Path, counts: list[int], *, say: Callable[[str], None]
) -> list[Planning]:
    found = []
    for number in counts:
        say(f"planning {number:,} keys on both sides …")
        home = folder / f"planning-{number}"
        home.mkdir()
        environ = tools.environ(facts, home)
        alone = listing_alone(facts["endpoint"], f"keys-{number}-left")
        command = [str(tools.BIN / "trueup"), "sync", f"s3://keys-{number}-left/", f"s3://keys-{number}-right/"]
        limit = max(600.0, number / 1000)  # a thousand keys a second is slower than any machine we know
        first = timing.run([*command, "--json"], environ, folder=home, limit=limit)
        _expect(first.output, "adopt", number)
        followings, peers = [], []
        ends = [f"bench:keys-{number}-left", f"bench:keys-{number}-right"]
        # The synthetic server knows only one of the two ways to list.
        rclone = [*tools.rclone_sync(*ends), "--dry-run", "--s3-list-version", "2"]
        near = number <= PLANNING_KEYS
        for _ in range(_ROUNDS if near else 1):
            followings.append(timing.run([*command, "--dry-run", "--json"], environ, folder=home, limit=limit))
            _expect(followings[-1].output, "unchanged", number)
            if near:
                peers.append(timing.run(rclone, environ, folder=home, limit=limit))
        following, peer = _middle(followings), _middle(peers) if near else None
        kept = sum(path.stat().st_size for path in inputs.files(home / "trueup")) / 1e6
        shutil.rmtree(home)
        found.append(
            Planning(keys=number, server_seconds=alone, first=first, next=following, kept_mb=kept, rclone=peer)
        )
        for name, taken in (("first", first), ("next", following), ("rclone", peer)):
            if taken is not None:
                say(f"    {name:8} {taken.seconds:7.2f} s  {taken.peak_mb:6.0f} MB")
    return found


def _middle(taken: list[timing.Timing]) -> timing.Timing:
    """The run that took the median time, with the most memory of any."""
    middle = sorted(taken, key=lambda each: each.seconds)[len(taken) // 2]
    return replace(middle, peak_mb=max(each.peak_mb for each in taken))


def listing_alone(endpoint: str, bucket: str) -> float:
    """Seconds to fetch a bucket's whole listing from the synthetic server."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    began = time.perf_counter()
    token = ""
    while True:
        with opener.open(f"{endpoint}/{bucket}?list-type=2{token}", timeout=30) as answer:
            head = answer.read(800)
            answer.read()
        following = TOKEN.search(head)
        if following is None:
            return time.perf_counter() - began
        token = f"&continuation-token={following[1].decode()}"


def large(facts: Mapping[str, str], folder: Path, *, files: int, size: int, say: Callable[[str], None]) -> Large:
    say(f"uploading {files} files of {size / (1 << 30):g} GiB at once …")
    home, source = folder / "large-home", folder / "sparse"
    home.mkdir()
    inputs.sparse_files(source, files, size)
    command = [str(tools.BIN / "trueup"), "sync", str(source), "s3://discard/large", "--push", "--json"]
    taken = timing.run(command, tools.environ(facts, home), folder=home, limit=3600)
    _expect(taken.output, "copy_right", files)
    shutil.rmtree(source)
    shutil.rmtree(home)
    say(f"    trueup   {taken.seconds:7.2f} s  {taken.peak_mb:6.0f} MB")
    return Large(files=files, size=size, taken=taken)


def starting(folder: Path, *, say: Callable[[str], None]) -> StartUp:
    say("starting …")
    home = folder / "starting"
    for name in ("", "left", "right"):
        (home / name).mkdir()
    environ = tools.environ({"endpoint": "none"}, home)
    command = [str(tools.BIN / "trueup"), "sync", str(home / "left"), str(home / "right")]
    timing.run(command, environ, folder=home)  # compiles what nobody imported yet
    return StartUp(runs=[timing.run(command, environ, folder=home) for _ in range(_STARTS)])


def _expect(output: str, count: str, number: int) -> None:
    """Raise `Failed` unless a run's JSON says that this many pairs were of this kind."""
    try:
        counts = json.loads(output)["counts"]
    except (ValueError, KeyError) as error:
        raise timing.Failed(f"not the JSON of a run: {output[:1000]}") from error
    if counts.get(count) != number:
        raise timing.Failed(f"expected {number} × {count}, not {counts}")
