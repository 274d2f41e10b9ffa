"""What a server does while it is listed and read, and the names it has."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from tests.ingest.world import OLD, World, done, outcomes
from tests.servers import Bucket
from tests.servers.relay import Relay
from trueup.testing import MemoryStore


@pytest.mark.parametrize("kept", [0, 7])
def test_nothing_is_concluded_from_a_listing_that_breaks_off(world: World, monkeypatch: pytest.MonkeyPatch, kept: int):
    names = world.fill(10)
    world.set(forget="0s")
    store = world.faulty(monkeypatch)
    store.break_listing(after=kept)
    run = world.ingest()
    assert (run.status, run.exit_code, run.counts["downloaded"]) == ("failed", 1, 0)
    assert world.effects() == {}
    store.heal()
    assert world.ingest().counts["processed"] == 10
    store.break_listing(after=kept)
    for _ in range(2):
        assert world.ingest().status == "failed"
    store.heal()
    assert set(world.rows()) == names
    assert done(world.ingest()) == {"already": 10}
    assert world.once(names)


def test_a_connection_that_is_cut_while_listing_and_reading_costs_nothing(remote: World, sftp_server: dict[str, str]):
    names, right = remote.fill(150), remote.server
    with Relay(int(sftp_server["port"])) as relay:
        front = f"127.0.0.1:{relay.port}"
        known = Path(sftp_server["known_hosts"]).read_text().replace(f":{sftp_server['port']}", f":{relay.port}")
        (remote.base / "known_hosts").write_text(known)
        url = remote.server.url.replace(f"127.0.0.1:{sftp_server['port']}", front)
        options = remote.server.options | {"known_hosts": str(remote.base / "known_hosts")}
        remote.server = Bucket(url=url, options=options)
        over = threading.Event()

        def cut() -> None:
            while not over.wait(0.15):
                relay.cut()

        cutter = threading.Thread(target=cut)
        cutter.start()
        for _ in range(3):
            remote.ingest()
        over.set()
        cutter.join()
        remote.ingest(requeue="*")
    remote.server = right
    remote.restart()
    assert done(remote.ingest(requeue="*")) == {"already": 150}
    assert remote.once(names)
    assert {name: f"round {name}" for name in names} == remote.files()


def test_a_server_that_is_not_there_is_a_failed_run(remote: World, sftp_server: dict[str, str]):
    names = remote.fill(1)
    right = remote.server
    with Relay(1) as relay:
        port = relay.port
    remote.server = Bucket(
        url=right.url.replace(f":{sftp_server['port']}", f":{port}"), options=right.options | {"retries": "0"}
    )
    run = remote.ingest()
    assert (run.status, run.exit_code, run.counts["listed"]) == ("failed", 1, 0)
    assert run.reason
    remote.server = right
    remote.ingest()
    assert remote.once(names)


@pytest.mark.parametrize("moment", ["read", "stat"])
def test_a_file_that_grows_while_it_is_taken_waits_for_its_end(
    remote: World, monkeypatch: pytest.MonkeyPatch, moment: str
):
    path = remote.put("a.txt", "first half")
    names = remote.fill(3)
    store = remote.faulty(monkeypatch)

    def grow(_: str) -> None:
        with path.open("a") as file:
            file.write(", more")

    store.on(moment, grow, key="a.txt", nth=1)
    run = remote.ingest()
    assert (run.exit_code, done(run)) == (0, {"unstable": 1, "downloaded": 3, "processed": 3})
    assert set(remote.files()) == names
    assert remote.once(names)
    remote.restart()
    assert outcomes(remote.ingest()) == {"a.txt": "processed"}
    assert remote.effects()["a.txt"] == ["first half, more"]


def test_a_file_that_grows_after_the_listing_waits_too(remote: World, monkeypatch: pytest.MonkeyPatch):
    path = remote.put("a.txt", "first half")
    store = remote.faulty(monkeypatch)
    store.on("list", lambda _: path.write_text("first half, second half"), after=True)
    assert done(remote.ingest()) == {"unstable": 1}
    store.heal()
    os.utime(path, (OLD, OLD))
    remote.ingest()
    assert remote.effects() == {"a.txt": ["first half, second half"]}


def test_a_partial_upload_is_taken_under_its_last_name_only(remote: World, monkeypatch: pytest.MonkeyPatch):
    remote.set(include=["*"], exclude=["*.part"])
    upload = remote.put("a.txt.part", "half")
    assert done(remote.ingest()) == {"filtered": 1}
    upload.write_text("all of it")
    os.utime(upload, (OLD, OLD))
    upload.rename(remote.drop / "a.txt")
    remote.ingest()
    assert remote.effects() == {"a.txt": ["all of it"]}


def test_a_file_that_is_renamed_between_listing_and_reading_is_taken_once(
    remote: World, monkeypatch: pytest.MonkeyPatch
):
    upload = remote.put("a.upload.txt", "all of it")
    store = remote.faulty(monkeypatch)
    store.on("list", lambda _: upload.rename(remote.drop / "a.txt"), after=True)
    assert done(remote.ingest()) == {"unstable": 1}
    store.heal()
    remote.ingest()
    assert remote.effects() == {"a.txt": ["all of it"]}
    assert set(remote.files()) == set(remote.rows()) == {"a.txt"}


TRAVERSAL = ["../escape.txt", "a/../../escape.txt", "/etc/escape.txt", "a//b.txt", "./c.txt", "nul\0.txt", "x/../y.txt"]


def test_no_name_leads_out_of_the_local_folder(world: World):
    bucket = MemoryStore.named("memory://traversal")
    for name in TRAVERSAL:
        bucket.put(name, b"round", mtime_ns=OLD * 10**9)
    bucket.put("fine.txt", b"round", mtime_ns=OLD * 10**9)
    world.set(source="memory://traversal")
    before = {path for path in world.base.parent.rglob("*.txt") if path.parent != world.local}
    run = world.ingest()
    MemoryStore.forget()
    assert (run.status, run.exit_code, run.counts["refused"]) == ("ok", 0, len(TRAVERSAL))
    assert world.files() == {"fine.txt": "round"}
    assert {path for path in world.base.parent.rglob("*.txt") if path.parent != world.local} == before
    assert world.once({"fine.txt"})


def test_names_that_are_no_text_and_links_are_refused_and_said(remote: World):
    outside = remote.put("../outside-of-it/secret.txt", "not ours")
    odd = os.fsencode(remote.drop) + b"/caf\xe9.txt"
    with open(odd, "wb") as file:  # noqa: PTH123 - a name that is no text
        file.write(b"round")
    (remote.drop / "link.txt").symlink_to(outside)
    (remote.drop / "folder").symlink_to(outside.parent)
    remote.put("ünïcode 日本.txt", "round")
    for _ in range(2):
        run = remote.ingest()
        assert (run.status, run.exit_code) == ("ok", 0)
        refused = {path for path, outcome in outcomes(run).items() if outcome == "refused"}
        assert len(refused) == run.counts["refused"] == 2
        assert "link.txt" in refused
        remote.restart()
    assert remote.once({"ünïcode 日本.txt"})
    assert set(remote.files()) == {"ünïcode 日本.txt"}
    shutil.rmtree(outside.parent)


def test_a_folder_that_cannot_be_read_fails_and_nothing_below_it_is_forgotten(world: World, monkeypatch):
    names = world.fill(2)
    world.put("secret/a.txt", "round")
    world.set(forget="0s")
    world.ingest()
    store = world.faulty(monkeypatch)
    store.blind("secret")
    for _ in range(3):
        run = world.ingest()
        assert (run.status, run.exit_code) == ("partial", 1)
        assert outcomes(run) == {"secret": "failed"}
    store.heal()
    assert done(world.ingest()) == {"already": 3}
    assert world.once(names | {"secret/a.txt"})
