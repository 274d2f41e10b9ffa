"""`trueup serve` as people start it, and a client that knows nothing but HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

KEY = "correct-horse-battery"
SETTINGS = """
[pool]
quota = "1MiB"
[pool.providers.a]
url = "a"
[reconcile]
grace = "0s"
[sync.site]
left = "left"
right = "right"
[ingest.stats]
source = "drop"
into = "taken"
stable_for = "0s"
handler = "handlers:slow"
database = "sqlite:///stats.db"
[downloads]
allow_private_addresses = true
[records.sheets]
kind = "csv"
path = "{name}.csv"
[[records.projects]]
id = "p1"
name = "Project A"
[[records.projects]]
id = "p2"
name = "Project B"
active = false
"""
HANDLERS = """
import os, time
def slow(file, db):
    while not os.path.exists("go on"):
        time.sleep(0.01)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Server:
    url: str
    folder: Path
    process: subprocess.Popen[str]
    key: str = ""

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.key and "Authorization" not in sent and "X-API-Key" not in sent:
            sent["Authorization"] = f"Bearer {self.key}"
        data = body
        if body is not None and not isinstance(body, bytes):
            data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(self.url + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(status=answer.status, headers=answer.headers, body=answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(status=error.code, headers=error.headers, body=error.read())

    def get(self, path: str, **headers: str) -> Answer:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self("POST", path, body, **headers)

    def over(self, task: str) -> dict[str, Any]:
        """The run, when it is over."""
        deadline = time.monotonic() + 60
        while (run := self.get(f"/api/runs/{task}").json)["finished_at"] is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return run

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def stop(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)


def world(folder: Path, settings: str = SETTINGS) -> Path:
    for name in ("a", "left", "right", "drop"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "trueup.toml").write_text(settings)
    (folder / "handlers.py").write_text(HANDLERS)
    (folder / "Project A.csv").write_text("profile_url,followers\nhttps://x.com/nasa,5\nhttps://x.com/esa,7\n")
    return folder


@contextmanager
def serving(folder: Path, *arguments: str, key: str = "") -> Iterator[Server]:
    environ = os.environ | {"TRUEUP_HOME": str(folder / "state")} | ({"TRUEUP_API_KEY": key} if key else {})
    command = [sys.executable, "-m", "trueup", "serve", "--port", "0", "--json", *arguments]
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder, env=environ)
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert line, (folder / "log").read_text()
        yield Server(json.loads(line)["url"], folder, process, key)
    finally:
        if process.poll() is None:
            (folder / "go on").touch()
            process.terminate()
        process.wait(60)
        process.stdout.close()
