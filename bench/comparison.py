"""The same jobs for every tool, in turns, against one SeaweedFS."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path

from bench import inputs, timing, tools
from bench.tools import AT_ONCE, PEERS, PREFIX, TOOLS, Job
from tests.servers.kinds import s3_client, s3_options

SLOW = {"aws": 1}
"""How often the slow tools run, at most; the others run as often as asked."""
LARGE = 16 << 20
"""Bytes from which tools are told to send parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """At most this share of a reference's time: of a tool's, or of the `best peer`'s."""

    reference: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the comparison: what was asked for, and every run's timing by tool."""

    name: str
    targets: tuple[Target, ...]
    memory_mb: float | None = None
    """What trueup may hold at most."""
    files: int
    bytes: int
    without: tuple[str, ...] = ()
    """Tools that are left out, because they would take most of the time."""
    timings: dict[str, list[timing.Timing]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Rounds:
    """Runs cases: each tool once a round, in an order that turns, for as many rounds as the time allows."""

    def __init__(
        self,
        facts: Mapping[str, str],
        folder: Path,
        *,
        say: Callable[[str], None],
        through: str = "",
        at_once: int = AT_ONCE,
    ) -> None:
        """`through` is the URL by which the tools reach the server, if not its own."""
        options = s3_options(facts["endpoint"])
        self._endpoint = facts["endpoint"]
        self._at_once = at_once
        self._facts = {
            "endpoint": through or options["endpoint"],
            "access_key": options["access_key_id"],
            "secret_key": options["secret_access_key"],
        }
        self._folder = folder
        self._say = say
        self._numbers = count(1)
        self._filled: dict[Path, str] = {}

    # ----- the cases -----

    def upload(self, case: Case, source: Path, *, rounds: int, until: float) -> Case:
        """Each run has an empty bucket of its own, and trueup an empty memory."""
        expected = inputs.sizes(source)

        def once(tool: str) -> timing.Timing:
            job = Job(verb="upload", large=_large(source), folder=source, bucket=self._bucket())
            home = self._home()
            try:
                taken = self._run(tool, job, home)
                if self._listed(job.bucket) != expected:
                    raise timing.Failed(f"{tool} did not upload what was asked for: {taken.output[-2000:]}")
            finally:
                self._drop(job.bucket)
                shutil.rmtree(home)
            return taken

        return self._rounds(case, once, rounds=rounds, until=until)

    def download(self, case: Case, source: Path, *, rounds: int, until: float) -> Case:
        """Each run has a folder of its own that does not exist yet."""
        bucket = self._filled_bucket(source)
        digests = inputs.digests(source)

        def once(tool: str) -> timing.Timing:
            into = self._folder / f"down-{next(self._numbers)}"
            home = self._home()
            into.mkdir()
            try:
                taken = self._run(tool, Job(verb="download", large=_large(source), folder=into, bucket=bucket), home)
                if inputs.digests(into) != digests:
                    raise timing.Failed(f"{tool} did not download what was asked for: {taken.output[-2000:]}")
            finally:
                shutil.rmtree(into)
                shutil.rmtree(home)
            return taken

        return self._rounds(case, once, rounds=rounds, until=until)

    def nothing_to_do(self, case: Case, source: Path, *, rounds: int, until: float) -> Case:
        """Both sides agree; trueup has found that out once before, as it has whenever it ran before."""
        bucket = self._filled_bucket(source)
        home = self._home()
        job = Job(verb="same", large=False, folder=source, bucket=bucket)
        self._run("trueup", job, home)
        case = self._rounds(case, lambda tool: self._run(tool, job, home), rounds=rounds, until=until)
        shutil.rmtree(home)
        return case

    # ----- how they run -----

    def _rounds(self, case: Case, once: Callable[[str], timing.Timing], *, rounds: int, until: float) -> Case:
        # The loop first: the first run of all finds a server that has just begun.
        names = [tool for tool in ("bare", "trueup", *PEERS) if tool not in case.without]
        if case.without:
            left_out = ", ".join(case.without)
            case = replace(case, notes=[*case.notes, f"{left_out} is left out, and measured by --full"])
        return in_turns(case, names, once, rounds=rounds, until=until, say=self._say)

    def _run(self, tool: str, job: Job, home: Path) -> timing.Timing:
        job = replace(job, at_once=self._at_once)
        return timing.run(TOOLS[tool](job), tools.environ(self._facts, home), folder=home)

    def _home(self) -> Path:
        home = self._folder / f"home-{next(self._numbers)}"
        home.mkdir()
        return home

    # ----- buckets -----

    def _bucket(self) -> str:
        """A fresh bucket in which the server has already found room for objects."""
        name = f"bench-{next(self._numbers)}"
        with closing(s3_client(self._endpoint)) as client:
            client.create_bucket(Bucket=name)
            client.put_object(Bucket=name, Key="elsewhere/first", Body=b"1")
        return name

    def _drop(self, bucket: str) -> None:
        with closing(s3_client(self._endpoint)) as client:
            client.delete_bucket(Bucket=bucket)  # SeaweedFS deletes a bucket with all it holds

    def _filled_bucket(self, source: Path) -> str:
        if source not in self._filled:
            bucket = self._bucket()
            self._say(f"filling a bucket with {source.name} …")
            if _large(source):
                self._fill_in_one_piece(source, bucket)
            else:
                self._run("bare", Job(verb="upload", large=False, folder=source, bucket=bucket), self._home())
            self._filled[source] = bucket
        return self._filled[source]

    def _fill_in_one_piece(self, source: Path, bucket: str) -> None:
        """An object that came in one request has its MD5 as its ETag: a tool that verifies a download can."""
        with closing(s3_client(self._endpoint)) as client:
            for name in inputs.sizes(source):
                with (source / name).open("rb") as body:
                    client.put_object(Bucket=bucket, Key=f"{PREFIX}/{name}", Body=body)

    def _listed(self, bucket: str) -> dict[str, int]:
        with closing(s3_client(self._endpoint)) as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{PREFIX}/")
            found = partial(_relative, PREFIX)
            return {found(item["Key"]): item["Size"] for page in pages for item in page.get("Contents", [])}


def in_turns(
    case: Case,
    names: Sequence[str],
    once: Callable[[str], timing.Timing],
    *,
    rounds: int,
    until: float,
    say: Callable[[str], None],
) -> Case:
    """The case with the timings of each tool, in an order that turns from round to round."""
    say(f"{case.name} …")
    timings: dict[str, list[timing.Timing]] = {tool: [] for tool in names}
    for number in range(rounds):
        if number and time.monotonic() > until:
            case = replace(case, notes=[*case.notes, f"time ran out after {number} of {rounds} rounds"])
            break
        turn = number % len(names)
        for tool in [*names[turn:], *names[:turn]]:
            if number >= SLOW.get(tool, rounds):
                continue
            timings[tool].append(taken := once(tool))
            say(f"    {tool:8} {taken.seconds:7.2f} s  {taken.peak_mb:6.0f} MB")
    return replace(case, timings=timings)


def _large(source: Path) -> bool:
    return any(size >= LARGE for size in inputs.sizes(source).values())


def _relative(prefix: str, key: str) -> str:
    return key.removeprefix(f"{prefix}/")
