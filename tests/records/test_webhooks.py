"""What programs are told over real HTTP, also when somebody is killed in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.records.world import World
from trueup import records
from trueup.cli import main
from trueup.errors import TrueupError
from trueup.notify.webhook import signature
from trueup.records.outbox import FileOutbox

ROOT = Path(__file__).parents[2]


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.meanwhile()
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Told:
    """A webhook, and what it was told."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.server = server

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.server.got]

    @property
    def kinds(self) -> list[str]:
        return [message["type"].removeprefix("records.") for message in self.messages]

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.server.got]


@contextmanager
def listening(world: World) -> Iterator[Told]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.got, server.status, server.meanwhile = [], 204, lambda: None
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    hook = f'[[alerts.webhooks]]\nurl = "http://127.0.0.1:{server.server_port}/secret"\nsecret = "s3cret"\n'
    world.always += hook
    world.settings()
    yield Told(server)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def told(world: World) -> Iterator[Told]:
    """All that is said of the world, whose settings name the webhook."""
    with listening(world) as heard:
        yield heard


def make_due(world: World) -> None:
    world.rows("update outbox set due_at = created_at")


def test_a_sync_that_wrote_something_is_told_and_signed(world: World, told: Told):
    world.sheet(("x.com/a", 100, "#REF!"))
    done = world.sync()
    [(headers, body)] = told.server.got
    assert headers["webhook-signature"] == signature(
        b"s3cret", headers["webhook-id"], headers["webhook-timestamp"], body
    )
    [message] = told.messages
    assert message["type"] == "records.synced"
    assert message["data"] == {
        "run": done.run,
        "success": True,
        "project_id": "p-A",
        "project_name": "A",
        "status": "ok",
        "degraded": False,
        "error": None,
        "attempts": 1,
        "total_accounts": 1,
        "updated_count": 1,
        "changed_count": 1,
        "snapshot_count": 1,
        "issue_count": 1,
        "timestamp": "2026-10-01T10:00:00Z",
    }


def test_a_run_that_changed_nothing_sends_nothing(world: World, told: Told):
    world.sheet(("x.com/a", 1, 1))
    world.sync()
    world.sync()
    assert world.result("2026-10-02T10:00:00Z")["snapshot_count"] == 1
    world.sync(dry_run=True)
    assert told.kinds == ["synced"]
    assert world.rows("select * from outbox") == []


def test_each_project_is_told_of_alone(world: World, told: Told):
    world.settings(projects=("A", "B"))
    world.sheet(("x.com/a", 1, 1))
    world.sync()
    assert [(message["type"], message["data"]["project_name"]) for message in told.messages] == [
        ("records.synced", "A"),
        ("records.failed", "B"),
    ]


def outage(world: World) -> None:
    (world.folder / "sheets/A.csv").unlink()


def broken(world: World) -> None:
    (world.folder / "sheets/A.csv").write_bytes(b"\xff")


def headless(world: World) -> None:
    world.sheet(("x.com/a", 1, 1), header=("a", "b", "c"))


def emptied(world: World) -> None:
    world.sheet()


@pytest.mark.parametrize(
    ("trouble", "status", "code"),
    [
        (outage, "degraded", "sheets_unavailable"),
        (broken, "degraded", "sheets_bad_answer"),
        (headless, "failed", "missing_key_column"),
        (emptied, "refused", "rows_vanished"),
    ],
)
def test_trouble_is_told_once_and_that_it_is_over_once(
    world: World, told: Told, trouble: Callable[[World], None], status: str, code: str
):
    world.sheet(("x.com/a", 1, 1))
    world.sync()
    trouble(world)
    for _ in range(3):
        world.sync("2026-10-02T10:00:00Z")
    world.sheet(("x.com/a", 1, 1))
    for _ in range(2):
        world.sync("2026-10-03T10:00:00Z")
    assert told.kinds == ["synced", "failed", "synced"]
    assert told.messages[1]["data"]["status"] == status
    assert told.messages[1]["data"]["error"]["code"] == code


def test_an_outage_is_one_trouble_however_it_shows_and_what_is_merged_meanwhile_is_told(world: World, told: Told):
    world.fresh(("x.com/a", 1, 1))
    world.sheet(("x.com/a", 1, 1))
    world.sync()
    for trouble in (broken, outage, broken):
        trouble(world)
        world.sync()
    world.fresh(("x.com/a", 5, 1))
    world.sync()
    assert told.kinds == ["synced", "failed", "synced"]
    assert told.messages[2]["data"]["degraded"] is True


def test_a_value_that_changes_behind_a_pin_is_no_news(world: World, told: Told):
    world.sheet(("x.com/a", 1, 1))
    world.sync()
    records.pin("x.com/a", "followers", "9")
    world.sheet(("x.com/a", 5, 1))
    assert world.result()["changed_count"] == 1
    assert told.kinds == ["synced"]


def test_another_trouble_is_told_again(world: World, told: Told):
    world.sheet(("x.com/a", 1, 1))
    world.sync()
    for trouble in (headless, emptied, outage, headless):
        trouble(world)
        world.sync()
    assert [message["data"]["status"] for message in told.messages[1:]] == ["failed", "refused", "degraded", "failed"]


def test_a_parser_that_fails_for_an_account_is_trouble(world: World, told: Told):
    (world.folder / "fresh_numbers_failing.py").write_text("def numbers(key, project):\n    raise OSError\n")
    world.settings(parsed='[records.parsed]\nkind = "python"\nfunction = "fresh_numbers_failing:numbers"\n')
    world.sheet(("x.com/a", 1, 1))
    for _ in range(2):
        world.sync()
    assert [(message["type"], message["data"]["status"]) for message in told.messages] == [
        ("records.failed", "partial")
    ]


def test_who_cannot_be_told_is_told_later_and_the_run_is_none_the_worse(
    world: World, told: Told, capsys: pytest.CaptureFixture[str]
):
    world.sheet(("x.com/a", 1, 1))
    told.server.status = 503
    assert main(["records", "sync"]) == 0
    said = capsys.readouterr().err
    assert "warning: the webhook at 127.0.0.1" in said
    assert "answered 503" in said
    assert "secret" not in said
    told.server.status = 204
    assert world.sync().warnings == ()
    assert len(told.ids) == 1  # a minute has not passed
    make_due(world)
    world.sync()
    assert told.ids == told.ids[:1] * 2


def test_one_webhook_that_fails_costs_one_try_in_a_run_and_the_others_do_not_wait(world: World, told: Told):
    told.server.status = 503
    with listening(world) as well:
        names = ("A", "B", "C")
        world.settings(projects=names)
        for name in names:
            world.sheet((f"x.com/{name}", 1, 1), name=name)
        [warning] = world.sync().warnings
        assert "answered 503" in warning
        assert (len(told.ids), len(set(well.ids))) == (1, 3)
        [warning] = world.sync().warnings
        assert (len(told.ids), len(well.ids)) == (2, 3)
        assert len(set(told.ids)) == 2  # what the first try was for is not due yet
        told.server.status = 204
        make_due(world)
        assert world.sync().warnings == ()
        assert (set(told.ids), len(well.ids)) == (set(well.ids), 3)
    assert world.rows("select * from outbox") == []


def test_a_webhook_that_is_slow_does_not_make_a_run_long(world: World, told: Told, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(import_module("trueup.notify.deliver"), "_LONGEST", 0.2)
    told.server.meanwhile = lambda: time.sleep(0.3)
    world.settings(projects=("A", "B"))
    for name in ("A", "B"):
        world.sheet((f"x.com/{name}", 1, 1), name=name)
    for arrived in (1, 2, 2):
        assert world.sync().warnings == ()
        assert len(told.ids) == arrived


def test_a_run_that_is_killed_before_it_told_has_its_message_sent_by_the_next_one(world: World, told: Told):
    world.sheet(("x.com/a", 1, 1))
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    started = threading.Event()

    def kill() -> None:
        assert started.wait(60)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait(60)

    told.server.meanwhile = kill
    process = subprocess.Popen([sys.executable, "-m", "trueup", "records", "sync"], cwd=world.folder, env=environment)
    started.set()
    assert process.wait(60) == -signal.SIGKILL
    assert world.accounts == {"x.com/a": (1, 1)}
    assert world.result()["changed_count"] == 0
    assert told.kinds == ["synced", "synced"]
    assert len(set(told.ids)) == 1
    world.sync()
    assert len(told.ids) == 2


def test_nothing_is_merged_that_could_not_be_told_of(world: World, told: Told, monkeypatch: pytest.MonkeyPatch):
    world.sheet(("x.com/a", 1, 1))

    def full_disk(*_: object) -> None:
        raise TrueupError("disk full")

    with monkeypatch.context() as full:
        full.setattr(FileOutbox, "put", full_disk)
        result = world.result()
    assert (result["status"], result["error"]["message"], result["changed_count"]) == ("failed", "disk full", 0)
    assert world.accounts == {}
    world.sync()
    assert told.kinds == ["synced"]


def test_with_nobody_to_tell_nothing_waits(world: World):
    world.sheet(("x.com/a", 1, 1))
    world.sync()
    assert world.rows("select * from outbox") == []


def test_e_mail_is_not_for_this(world: World):
    world.always = '[alerts.email]\nhost = "127.0.0.1"\nport = 1\nfrom = "a@b.org"\nto = ["a@b.org"]\n'
    world.settings()
    world.sheet(("x.com/a", 1, 1))
    assert world.sync().warnings == ()
    assert world.rows("select * from outbox") == []
