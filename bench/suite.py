"""The list of cases, in order, each with its share of the time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import bookkeeping, ingesting, inputs, limits, over_ssh, reconciling, records, serving, tools
from bench.comparison import Case, Rounds, Target
from bench.report import slug
from tests.servers import distance, kinds
from tests.servers.shared import Plan, free_port, shared

BARE = Target(reference="bare", share=1.25)
HERE = Path(__file__).parent
BEGAN = time.monotonic()
FAR_FILES = 4000


def script(name: str) -> Callable[[Path], Plan]:
    """How one of our own servers is started."""

    def plan(_folder: Path) -> Plan:
        port = free_port()
        endpoint = f"http://127.0.0.1:{port}"
        return Plan(
            commands=[[sys.executable, str(HERE / f"{name}.py"), str(port)]],
            ready=endpoint,
            facts={"endpoint": endpoint},
        )

    return plan


def _relay(endpoint: str, _: Path) -> Plan:
    """How the server of this URL is put at a distance."""
    port, back = free_port(), str(urlsplit(endpoint).port)
    command = [sys.executable, distance.__file__, str(port), back, str(over_ssh.ROUND_TRIP)]
    far = f"http://127.0.0.1:{port}"
    return Plan(commands=[command], ready=f"open://127.0.0.1:{port}", facts={"endpoint": far})


class Suite:
    """One run of the benchmark. `only` names cases by a part of their name."""

    def __init__(self, folder: Path, only: list[str] | None, *, full: bool, rounds: int | None, minutes: float) -> None:
        self.found: dict[str, list[Any]] = {}
        """The rows of each section, as `results.SECTIONS` names them."""
        self._folder = folder
        self._only = only
        self._full = full
        self._rounds = rounds
        self._began = time.monotonic()
        self._minutes = 120.0 if full else minutes

    def run(self) -> None:
        # The comparison first: it takes as many rounds as its time allows, and the rest always takes about the same.
        self._compare()
        self._far_away()
        self._over_ssh()
        if self.wanted("planning"):
            counts = [10_000, 100_000, 1_000_000, *([10_000_000] if self._full else [])]
            self._add("planning", *limits.planning(self._synthetic(), self._folder, counts, say=say))
        if self.wanted("very large"):
            facts = shared("discard", script("discard_s3"))
            size = (10 if self._full else 1) << 30
            self._add("large", limits.large(facts, self._folder, files=4, size=size, say=say))
        if self.wanted("start-up"):
            self._add("started", limits.starting(self._folder, say=say))
        if self.wanted("bookkeeping"):
            self._add("books", *bookkeeping.measure(self._folder, rounds=self._times(1), say=say))
        if self.wanted("reconciling"):
            self._add("reconciled", reconciling.measure(self._synthetic(), self._folder, say=say))
        if self.wanted("ingesting"):
            known, commands = ingesting.over_sftp(shared("sftp", over_ssh.server), self._folder, say=say)
            self._add("ingested", known)
            self._add("ingested_commands", *commands)
            self._add("ingested_many", ingesting.many(self._synthetic(), self._folder, say=say))
        if self.wanted("records"):
            self._add("merged", records.merging(self._folder, say=say))
            self._add("read", records.reading(self._folder, say=say))
            self._add("grown", records.growing(self._folder, say=say))
        if self.wanted("serving"):
            answered, idle = serving.measure(shared("seaweed", kinds.seaweed), self._folder, say=say)
            self._add("served", *answered)
            self._add("idle", idle)

    def _add(self, section: str, *rows: object) -> None:
        self.found.setdefault(section, []).extend(rows)

    def _synthetic(self) -> dict[str, str]:
        return shared("synthetic", script("synthetic_s3"))

    def _over_ssh(self) -> None:
        # As it comes rclone takes longer than all the rest of it.
        places = [place for place in over_ssh.PLACES if self._full or self._only or place.transfers]
        wanted = [place for place in places if self.wanted(place.case)]
        if not wanted:
            return
        source = self._folder / "few"
        say("making few files …")
        made = inputs.small_files(source, over_ssh.FILES, 7200)
        downloads = over_ssh.Downloads(shared("sftp", over_ssh.server), self._folder, source, say=say)
        for place in wanted:
            case = replace(_case(place.case, Target(reference="rclone", share=0.3)), files=over_ssh.FILES, bytes=made)
            until = self._began + self._minutes * 60
            self._add("cases", downloads.run(case, place, rounds=self._times(3) if place.transfers else 1, until=until))

    def _compare(self) -> None:
        small, many, large = self._folder / "small", self._folder / "many", self._folder / "large"
        count, more, size = (20_000, 200_000, 512) if self._full else (10_000, 100_000, 128)
        rclone, s5cmd, best = (partial(Target, reference=name) for name in ("rclone", "s5cmd", "best peer"))
        up, down = Rounds.upload, Rounds.download
        slow = () if self._full else ("aws",)
        # What to do, on which files, in how many rounds, and the share of the time by which it should be over.
        table: list[tuple[Case, Callable[..., Case], Path, int, float]] = [
            (
                _case(f"upload {count:,} small files", rclone(share=0.6), s5cmd(share=0.4), BARE, without=slow),
                up,
                small,
                3,
                0.5,
            ),
            (_case(f"nothing to do, {count:,}", rclone(share=1.0)), Rounds.nothing_to_do, small, 5, 0.53),
            (_case(f"download {count:,} small files", best(share=0.9), BARE, without=slow), down, small, 3, 0.72),
            (_case(f"upload 4 × {size} MiB", best(share=0.9), BARE), up, large, 3, 0.77),
            (_case(f"download 4 × {size} MiB", best(share=1.0), BARE), down, large, 3, 0.82),
            (
                _case(
                    f"nothing to do, {more:,}",
                    rclone(share=0.6),
                    memory_mb=None if self._full else 120,
                    without=slow,
                ),
                Rounds.nothing_to_do,
                many,
                3,
                0.95,
            ),
            (
                _case(f"upload {more:,} small files", rclone(share=0.55), without=("s5cmd", "aws", "bare")),
                up,
                many,
                1,
                1.0,
            ),
        ]
        table = [row for row in table if self.wanted(row[0].name)]
        if not table:
            return
        rounds = Rounds(shared("seaweed", kinds.seaweed), self._folder, say=say)
        make: dict[Path, Callable[[], int]] = {
            small: lambda: inputs.small_files(small, count, 7200),
            many: lambda: inputs.small_files(many, more, 640),
            large: lambda: inputs.large_files(large, 4, size << 20),
        }
        made: dict[Path, int] = {}
        for case, job, source, times, share in table:
            if source not in made:
                say(f"making {source.name} files …")
                made[source] = make[source]()
            sized = replace(case, files=len(inputs.digests(source)), bytes=made[source])
            until = self._began + self._minutes * 60 * share
            self._add("cases", job(rounds, sized, source, rounds=self._times(times), until=until))

    def _far_away(self) -> None:
        """Small files to and from a server at the distance of the SFTP server's."""
        away = f"{over_ssh.ROUND_TRIP * 1000:g} ms away"
        jobs = (
            (f"upload {FAR_FILES:,} small files, {away}", Rounds.upload),
            (f"download {FAR_FILES:,} small files, {away}", Rounds.download),
        )
        wanted = [(name, job) for name, job in jobs if self.wanted(name)]
        if not wanted:
            return
        source = self._folder / "far"
        say("making far files …")
        made = inputs.small_files(source, FAR_FILES, 7200)
        facts = shared("seaweed", kinds.seaweed)
        through = shared("far", partial(_relay, facts["endpoint"]))["endpoint"]
        rounds = Rounds(facts, self._folder, say=say, through=through, at_once=tools.FAR_AT_ONCE)
        for name, job in wanted:
            case = replace(_case(name, without=() if self._full else ("aws",)), files=FAR_FILES, bytes=made)
            until = self._began + self._minutes * 60
            self._add("cases", job(rounds, case, source, rounds=self._times(1), until=until))

    def wanted(self, name: str) -> bool:
        return not self._only or any(word in name or word in slug(name) for word in self._only)

    def _times(self, rounds: int) -> int:
        return self._rounds or (rounds + 2 if self._full else rounds)


def _case(name: str, *targets: Target, memory_mb: float | None = None, without: tuple[str, ...] = ()) -> Case:
    return Case(name=name, targets=targets, memory_mb=memory_mb, without=without, files=0, bytes=0)


def say(text: str) -> None:
    print(f"{(time.monotonic() - BEGAN) / 60:5.1f} min  {text}", file=sys.stderr, flush=True)
