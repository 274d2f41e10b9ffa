"""One server of a kind for all processes of one test run.

The main pytest process makes a folder and names it in the environment; whichever process first needs a server starts
it under a file lock and leaves its address there. The supervisor ends it together with the main process.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.supervise import alive

FOLDER = "TEST_SERVERS_FOLDER"
OWNER = "TEST_SERVERS_OWNER"
READY_WITHIN = 60.0
"""Seconds a server may take to answer; SeaweedFS needs about eight on an idle machine."""
TRIES = 3
"""A port that was free a moment ago may be taken by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to start one server. `facts` is what its users need to know; `ready` is a URL that answers once it is up,
    `tcp://HOST:PORT`, where it says something, or `open://HOST:PORT`, where it listens and says nothing by itself."""

    commands: Sequence[Sequence[str]]
    ready: str
    facts: Mapping[str, str]
    environ: Mapping[str, str] = field(default_factory=dict)
    leftovers: Sequence[str] = ()
    """Files the server leaves outside its folder."""


def open_house() -> None:
    """Called once, by the main pytest process."""
    os.environ[FOLDER] = tempfile.mkdtemp(prefix="trueup-servers-")
    os.environ[OWNER] = str(os.getpid())


def close_house() -> None:
    """Ends every server and waits until each is gone."""
    house = Path(os.environ.pop(FOLDER))
    os.environ.pop(OWNER)
    for file in house.glob("*.json"):
        pid = json.loads(file.read_text())["pid"]
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while alive(pid) and time.monotonic() < deadline:
            pass
    shutil.rmtree(house, ignore_errors=True)


def shared(name: str, plan: Callable[[Path], Plan]) -> dict[str, str]:
    """The facts of the running server of this name, which is started if need be."""
    house = Path(os.environ[FOLDER])
    notes = house / f"{name}.json"
    with (house / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if notes.exists():
            known = json.loads(notes.read_text())
            if alive(known["pid"], wait=0):
                return dict(known["facts"])
        trouble = ""
        for attempt in range(TRIES):
            folder = house / f"{name}-{attempt}"
            folder.mkdir(exist_ok=True)
            planned = plan(folder)
            process = _supervise(folder, planned)
            notes.write_text(json.dumps({"pid": process.pid, "facts": dict(planned.facts)}))
            if _answers(planned.ready, process):
                return dict(planned.facts)
            trouble = (folder / "log").read_text(errors="replace")[-3000:] if (folder / "log").exists() else trouble
            process.terminate()
            process.wait()
            notes.unlink()
        message = f"the test server {name} did not start:\n{trouble}"
        raise RuntimeError(message)


def _supervise(folder: Path, plan: Plan) -> subprocess.Popen[bytes]:
    job = {
        "watch": int(os.environ[OWNER]),
        "folder": str(folder),
        "house": str(folder.parent),
        "commands": [list(command) for command in plan.commands],
        "environ": dict(plan.environ),
        "leftovers": list(plan.leftovers),
    }
    script = Path(__file__).with_name("supervise.py")
    with (folder / "supervisor").open("wb") as complaints:
        process = subprocess.Popen(
            [sys.executable, str(script), json.dumps(job)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            start_new_session=True,  # Ctrl-C in the terminal is pytest's; its end ends the servers
        )
    _running.append(process)
    return process


_running: list[subprocess.Popen[bytes]] = []
"""Keeps the handles: a collected handle of a living child is a ResourceWarning, which fails a test."""


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if url.startswith(("tcp:", "open:")):
                kind, _, address = url.partition("://")
                host, _, port = address.rpartition(":")
                with socket.create_connection((host, int(port)), timeout=5) as found:
                    return kind == "open" or bool(found.recv(1))
            with DIRECT.open(url, timeout=5):
                return True
        except urllib.error.HTTPError as answer:
            with answer:
                if answer.code < 500:
                    return True
        except OSError:
            pass
        time.sleep(0.1)
    return False


DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Speaks to loopback whatever the environment says about proxies."""


def request(method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """One plain HTTP request to a server on loopback. Raises `HTTPError`."""
    asked = urllib.request.Request(url, data=body or None, method=method, headers=dict(headers or {}))
    with DIRECT.open(asked, timeout=30) as answer:
        return bytes(answer.read())


def free_port() -> int:
    """A port nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_port_pairs(count: int) -> list[int]:
    """Ports P, all below 19000, such that P and P+10000 are free: below the range the kernel hands out by itself."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(10000, 18900), 2000):
        if all(_is_free(number) for number in (port, port + 10000)):
            found.append(port)
        if len(found) == count:
            return found
    message = "no free ports"
    raise RuntimeError(message)


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
