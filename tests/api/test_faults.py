"""What is sent that makes no sense, and what the service does without its database or its broker."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.api.server import SETTINGS, Server, serving, world
from tests.jobs.celery_process import celery
from tests.jobs.world import wait_for
from tests.servers import kinds
from tests.servers.kinds import free_port_pairs

JSON = {"Content_Type": "application/json"}


def raw(server: Server, text: bytes) -> bytes:
    """The first line of what is answered to these bytes."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as line:
        line.sendall(text.replace(b"HOST", host.encode()))
        return line.recv(1000).partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"url": "http://x/"',
        b'{"url": null}',
        b'{"url": ["http://x/"]}',
        b'{"URL": "http://x/"}',
        b"\xff\xfe",
        b'{"url": "http://x/\\ud800"}',
        b'{"url": "http://x/\\u0000\xff"}',
        b'{"url": "file:///etc/passwd"}',
        b'{"url": "' + b"http://x/" + b"a" * 5000 + b'"}',
        b"[" * 30_000 + b"]" * 30_000,
        b'{"url":' * 5_000 + b"1" + b"}" * 5_000,
        b"9" * 60_000,
        b'{"url": NaN}',
    ],
    ids=range(17),
)
def test_a_body_that_makes_no_sense_is_422_and_nothing_of_it_is_said_again(server: Server, body: bytes):
    answer = server.post("/api/downloads", body, **JSON)
    assert (answer.status, answer.headers["Content-Type"]) == (422, "application/problem+json")
    assert len(answer.body) < 1000
    assert b"passwd" not in answer.body


def test_a_huge_body_is_refused_before_it_is_read(server: Server):
    head = b"POST /api/downloads HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\n"
    assert raw(server, head + b"Content-Length: 99999999999\r\n\r\n").startswith(b"HTTP/1.1 413 ")
    assert raw(server, head + b"Content-Length: 99999999999999999999999\r\n\r\n").startswith(b"HTTP/1.1 4")
    assert raw(server, head + b"Content-Length: -1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    pieces = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    assert raw(server, head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces * 3).startswith(b"HTTP/1.1 413 ")
    # On a route that takes no body, too.
    asked = head.replace(b"/api/downloads", b"/api/admin/cleanup-old-downloads")
    assert raw(server, asked + b"Content-Length: 99999999999\r\n\r\n").startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "..",
            "../../etc/passwd",
            "%",
            "a/b",
            "' or '1'='1",
            "\0",
            "\n",
            "é",
            "\ud800".encode("utf-8", "surrogatepass"),
        ),
        *("x" * 5000, "{}", "$where", "-1", "0", "true", "__class__", "site\0", "*"),
    ],
    ids=range(18),
)
def test_an_id_that_nobody_has_is_404_whatever_is_in_it(server: Server, name: str | bytes):
    word = quote(name, safe="")
    for method, path in (
        ("GET", f"/api/runs/{word}"),
        ("GET", f"/api/runs/{word}/events"),
        ("POST", f"/api/runs/{word}/cancel"),
        ("GET", f"/api/admin/sync-storage-stats/status/{word}"),
        ("GET", f"/api/downloads/{word}"),
        ("POST", f"/api/downloads/{word}/url"),
        ("DELETE", f"/api/downloads/{word}"),
        ("POST", f"/api/sync/{word}"),
        ("POST", f"/api/ingest/{word}"),
        ("GET", f"/api/ingest/{word}/diagnose"),
        ("GET", f"/api/projects/{word}/accounts"),
        ("GET", f"/api/projects/{word}/growth"),
        ("POST", f"/api/admin/smart_sync?project_id={word}"),
    ):
        answer = server(method, path)
        assert answer.status in {404, 405}, (method, path, answer.body)
    assert server.get(f"/api/accounts/{word}/snapshots").status in {404, 422}


def test_a_database_that_somebody_has_to_himself_is_said_so_in_seconds_and_is_read_meanwhile(server: Server):
    before = len(server.get("/api/runs?limit=1000").json["runs"])
    with closing(sqlite3.connect(server.folder / "trueup.jobs.db")) as db, ThreadPoolExecutor(4) as pool:
        db.execute("begin immediate")
        began = time.monotonic()
        asked = [pool.submit(server.post, "/api/admin/cleanup-old-downloads") for _ in range(4)]
        assert len(server.get("/api/runs?limit=1000").json["runs"]) == before
        assert server.get("/api/storage/stats").status == 200
        answers = [one.result() for one in asked]
        assert time.monotonic() - began < 20
        db.rollback()
    assert {answer.status for answer in answers} == {503}
    assert all(answer.headers["Content-Type"] == "application/problem+json" for answer in answers)
    assert any("database is locked" in answer.json["detail"] for answer in answers)
    later = server.post("/api/admin/cleanup-old-downloads")
    assert server.over(later.json["task_id"])["status"] == "ok"


def test_a_bad_cron_line_keeps_the_server_from_starting_in_one_line(tmp_path: Path):
    world(tmp_path, SETTINGS + '[schedule]\nsync-storage-stats = "61 * * * *"\n')
    with pytest.raises(KeyError) as caught, serving(tmp_path):
        pass
    assert caught.value.args == ("url",)
    said = (tmp_path / "log").read_text()
    assert said.startswith("error: [schedule] sync-storage-stats = '61 * * * *' is no cron line: bad minute")
    assert said.count("\n") == 1


@contextmanager
def redis(folder: Path, port: int) -> Iterator[None]:
    """A broker of its own, which ends with the block."""
    [command] = kinds.redis(folder).commands
    command[command.index("--port") + 1] = str(port)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: _listens(port))
        yield
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def test_without_its_broker_the_service_says_so_loses_nothing_and_goes_on_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    [port] = free_port_pairs(1)
    folder = world(tmp_path)
    monkeypatch.setenv("TRUEUP_SERVER__BROKER", f"redis://127.0.0.1:{port}/0")
    monkeypatch.setenv("TRUEUP_HOME", str(folder / "state"))
    monkeypatch.chdir(folder)
    with serving(folder) as server, celery("worker"):  # both start without it, and wait
        ready = server.get("/readyz")
        assert (ready.status, ready.json["checks"]["queue"], ready.json["checks"]["database"]) == (503, "ok", "ok")
        assert ready.json["checks"]["jobs"].startswith("the broker cannot be reached")
        refused = server.post("/api/admin/sync-storage-stats")
        assert (refused.status, refused.json["title"]) == (503, "Service Unavailable")
        assert "the broker cannot be reached" in refused.json["detail"]
        assert {run["state"] for run in server.get("/api/runs").json["runs"]} == {"REVOKED"}
        assert server.get("/api/storage/stats").status == 200
        (folder / "drop" / "one.txt").write_text("one")
        with redis(folder, port):
            wait_for(lambda: server.get("/readyz").status == 200)
            task = server.post("/api/ingest/stats").json["task_id"]
            wait_for(lambda: server.get(f"/api/runs/{task}").json["state"] == "STARTED", 60)
        assert server.get("/readyz").status == 503
        assert server.post("/api/sync/site").status == 503
        (folder / "go on").touch()
        run = server.over(task)
        assert (run["state"], run["status"], run["result"]["counts"]["processed"]) == ("SUCCESS", "ok", 1)
        with redis(folder, port):
            wait_for(lambda: server.get("/readyz").status == 200)
            (folder / "left" / "page").write_text("hello")
            again = server.over(server.post("/api/sync/site").json["task_id"])
            assert (again["state"], again["result"]["counts"]["copy_right"]) == ("SUCCESS", 1)
            assert server.get(f"/api/runs/{task}").json["attempts"] == 1


def test_who_asks_a_server_that_says_nothing_keeps_nobody_else_waiting(tmp_path: Path):
    folder = world(tmp_path)
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent, ThreadPoolExecutor(50) as pool:
        source = f"sftp://me@127.0.0.1:{silent.getsockname()[1]}/drop"
        ours = f'[ingest.far]\nsource = "{source}"\ninto = "far"\nhandler = "handlers:slow"\n'
        (folder / "trueup.toml").write_text(SETTINGS + ours)
        with serving(folder) as server:
            for _ in range(45):
                pool.submit(server.get, "/api/ingest/far/diagnose").add_done_callback(Future.exception)
            for _ in range(3):
                began = time.monotonic()
                assert server.get("/api/storage/stats").status == 200
                assert time.monotonic() - began < 3
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 20
