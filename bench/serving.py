"""How fast `trueup serve` answers while one of its jobs uploads, beside the least server that could; and its memory."""

from __future__ import annotations

import asyncio
import csv
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from bench import inputs, timing, tools
from tests.servers.kinds import s3_client, s3_options
from tests.servers.shared import free_port

FILES = 10_000
ACCOUNTS = 100
CONNECTIONS = 4
"""Clients at once, each with its next request as soon as it has its answer."""
A_SECOND = 500
P99_MS = 30.0
MEMORY_MB = 150.0
_PAUSE = 0.05
_LIMIT = 120
"""Seconds that a sync may take."""
_BESIDE = {"/api/storage/stats": "first", "/api/projects/space/accounts": "second"}
"""Each route, and the sync that runs while it is asked."""
_SETTINGS = """
[server]
rate_limit = "off"
[pool.providers.one]
url = "one"
[pool.providers.two]
url = "two"
[pool.providers.three]
url = "three"
[records.sheets]
kind = "csv"
path = "{{name}}.csv"
[[records.projects]]
id = "space"
name = "Space"
[sync.first]
left = "site"
right = "s3://{bucket}/first"
mode = "push"
[sync.second]
left = "site"
right = "s3://{bucket}/second"
mode = "push"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What one route did while a sync of `FILES` files ran."""

    route: str
    answers: int
    seconds: float
    p50_ms: float
    p99_ms: float
    bare: bool = False
    """Not ours: one function under the same uvicorn that gives the same bytes, beside the same sync."""

    @property
    def a_second(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds

    def verdict(self) -> tuple[str, bool]:
        """The target, and whether it is met; none for the bare server."""
        if self.bare:
            return "", True
        met = self.a_second >= A_SECOND and self.p99_ms < P99_MS
        return f"at least {A_SECOND} a second, 99 of 100 under {P99_MS:g} ms", met

    def cells(self) -> tuple[str, ...]:
        """Its line of the table."""
        name = f"`GET {self.route}`{', from a bare server' if self.bare else ''}"
        return name, f"{self.a_second:.0f}", f"{self.p50_ms:.1f}", f"{self.p99_ms:.1f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """The server after it has answered each route once."""

    resident_mb: float

    def verdict(self) -> tuple[str, bool]:
        """The target, and whether it is met."""
        return f"under {MEMORY_MB:g} MB", self.resident_mb < MEMORY_MB

    def cells(self) -> tuple[str, ...]:
        """Its line of the table."""
        return f"waiting, with {self.resident_mb:.0f} MB", "", "", ""


def measure(facts: Mapping[str, str], folder: Path, *, say: Callable[[str], None]) -> tuple[list[Served], Idle]:
    """A route at a time, beside an upload of its own."""
    say("serving beside a sync …")
    home = folder / "serving"
    home.mkdir()
    bucket = "serving"
    with closing(s3_client(facts["endpoint"])) as client:
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key="elsewhere/first", Body=b"1")
    for name in ("one", "two", "three"):
        (home / name).mkdir()
    inputs.small_files(home / "site", FILES, 7200)
    _accounts(home / "Space.csv")
    (home / "trueup.toml").write_text(_SETTINGS.format(bucket=bucket))
    options = s3_options(facts["endpoint"])
    keys = {"access_key": options["access_key_id"], "secret_key": options["secret_access_key"]}
    environ = tools.environ({**facts, **keys}, home)
    trueup = [str(tools.BIN / "trueup")]
    subprocess.run([*trueup, "records", "sync"], cwd=home, env=environ, check=True, stdout=subprocess.DEVNULL)
    with (home / "log").open("w") as log:
        command = [*trueup, "serve", "--port", "0", "--json"]
        server = subprocess.Popen(command, cwd=home, env=environ, stdout=subprocess.PIPE, stderr=log)
    assert server.stdout
    try:
        url = json.loads(server.stdout.readline())["url"]
        body, *_ = [_asked(url + route) for route in _BESIDE]
        idle = Idle(resident_mb=timing.resident(server.pid) / 1e6)
        answered = [asyncio.run(_beside(url, route, job)) for route, job in _BESIDE.items()]
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()
    upload = [*trueup, "sync", str(home / "site"), f"s3://{bucket}/third", "--push", "--quiet"]
    return [*answered, asyncio.run(_bare(home, environ, next(iter(_BESIDE)), body, upload))], idle


async def _bare(home: Path, environ: Mapping[str, str], route: str, body: bytes, upload: list[str]) -> Served:
    """The same load on a server that only hands out bytes, while a process of its own uploads the same files."""
    (home / "body").write_bytes(body)
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("bare_server.py")), str(port), str(home / "body")]
    server = await asyncio.create_subprocess_exec(*command, env=environ)
    try:
        url = f"http://127.0.0.1:{port}"
        await asyncio.to_thread(_answers, url + route)

        async def over() -> None:
            sync = await asyncio.create_subprocess_exec(*upload, cwd=home, env=environ)
            if await sync.wait():
                raise AssertionError(f"{' '.join(upload)} ended with {sync.returncode}")

        return replace(await _load(url, route, over()), bare=True)
    finally:
        server.terminate()
        await server.wait()


def _answers(url: str) -> None:
    """Wait until a server answers."""
    until = time.monotonic() + _LIMIT
    while True:
        try:
            _asked(url)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(_PAUSE)
        else:
            return


async def _beside(url: str, route: str, job: str) -> Served:
    """Ask while the sync runs, and no longer."""
    queued = json.loads(await asyncio.to_thread(_asked, f"{url}/api/sync/{job}", "POST"))["task_id"]

    async def over() -> None:
        until = time.monotonic() + _LIMIT
        while (run := json.loads(await asyncio.to_thread(_asked, f"{url}/api/runs/{queued}")))["finished_at"] is None:
            if time.monotonic() > until:
                raise AssertionError(f"the sync takes longer than {_LIMIT} s")
            await asyncio.sleep(_PAUSE)
        if not run["result"] or run["result"]["counts"]["copy_right"] != FILES:
            raise AssertionError(f"not what was to be uploaded: {run}")

    return await _load(url, route, over())


async def _load(url: str, route: str, while_: Awaitable[None]) -> Served:
    host, _, port = url.rpartition("/")[2].partition(":")
    request = f"GET {route} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    taken: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            while True:
                began = time.perf_counter()
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 200 "):
                    raise AssertionError(head.decode())
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
                taken.append(time.perf_counter() - began)
        finally:
            writer.close()

    began = time.perf_counter()
    clients = [asyncio.create_task(client()) for _ in range(CONNECTIONS)]
    try:
        await while_
        for one in clients:
            if one.done():
                one.result()
        seconds = time.perf_counter() - began
    finally:
        for one in clients:
            one.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
    taken.sort()
    p50, p99 = (1000 * taken[int(len(taken) * share)] for share in (0.5, 0.99))
    return Served(route=route, answers=len(taken), seconds=seconds, p50_ms=p50, p99_ms=p99)


def _asked(url: str, method: str = "GET") -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=60) as answer:
        return bytes(answer.read())


def _accounts(path: Path) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["profile_url", "followers", "likes", "views"])
        rows.writerows([f"https://x.com/account{number}", number, number, number] for number in range(ACCOUNTS))
