"""URLs into a pool of folders: fetched once, recorded, and tidied up."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from random import Random

import pytest

import trueup
from tests.downloads.server import File, Site, answer
from trueup.config import load
from trueup.downloads.fetch import folder_of
from trueup.errors import AddressRefused, Busy, FetchError, PoolFull, StoreError
from trueup.pool import Pool

MB = 1 << 20
DATA = Random(7).randbytes(3 * MB)
SETTINGS = """
[pool]
quota = "5MiB"
[pool.providers.a]
url = "a"
[pool.providers.b]
url = "b"
[downloads]
allow_private_addresses = true
"""


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "trueup.toml").write_text(SETTINGS)
    with trueup.Pool.from_config() as pool:
        yield pool


def records(**where: str) -> list[dict[str, object]]:
    """The rows of the table `downloads`."""
    with sqlite3.connect("trueup.db") as db:
        db.row_factory = sqlite3.Row
        rows = [dict(row) for row in db.execute("select * from downloads order by created_at")]
    db.close()
    return [row for row in rows if all(row[name] == value for name, value in where.items())]


def age(hours: float) -> None:
    """Let all records be older."""
    then = (datetime.now(UTC) - timedelta(hours=hours)).replace(tzinfo=None)
    with sqlite3.connect("trueup.db") as db:
        db.execute("update downloads set updated_at = ?, created_at = ?", (str(then), str(then)))
    db.close()


def unplug(provider: Path) -> None:
    """Let a provider be there, and every question to it fail."""
    provider.rename(provider.with_name("unplugged"))
    provider.symlink_to(provider)


def folder(url: str) -> Path:
    return folder_of(load().home, url)


# What it does


def test_a_url_becomes_an_object_with_a_record_and_is_not_fetched_twice(pool: Pool, site: Site, tmp_path: Path):
    site.pages["/video.mp4"] = File(DATA)
    url, provider, size = pool.fetch(site.url("/video.mp4"))
    [stored] = pool.ls()
    assert (provider, size, stored.key.rpartition("/")[2]) == (stored.provider, len(DATA), "video.mp4")
    assert (tmp_path / provider / stored.key).read_bytes() == DATA
    [record] = records()
    assert (record["status"], record["storage_provider"], record["file_size"], record["key"]) == (
        *("completed", provider, len(DATA)),
        stored.key,
    )
    asked = len(site.seen)
    assert pool.fetch(site.url("/video.mp4")) == (url, provider, size)
    assert (len(site.seen), len(records()), len(list(pool.ls()))) == (asked, 1, 1)
    assert not list((load().home / "downloads").iterdir())


def test_what_is_no_longer_there_is_fetched_again(pool: Pool, site: Site, tmp_path: Path):
    site.pages["/a.zip"] = File(b"abc")
    pool.fetch(site.url("/a.zip"))
    [stored] = pool.ls()
    pool.delete(stored.key)
    pool.fetch(site.url("/a.zip"))
    [again] = pool.ls()
    (tmp_path / again.provider / again.key).unlink()  # behind our back
    url, _, _ = pool.fetch(site.url("/a.zip"))
    assert Path(url.removeprefix("file://")).read_bytes() == b"abc"
    assert site.ranges() == [None, None, None]


@pytest.mark.parametrize("now", ["", '[pool.providers.{}]\nurl = "nonsense://x"\n'])
def test_what_lies_at_a_provider_that_is_not_used_any_more_is_fetched_again(
    pool: Pool, site: Site, tmp_path: Path, now: str
):
    site.pages["/a.zip"] = File(b"abc")
    provider = pool.fetch(site.url("/a.zip")).provider
    before = f'[pool.providers.{provider}]\nurl = "{provider}"\n'
    (tmp_path / "trueup.toml").write_text(SETTINGS.replace(before, now.format(provider)))
    with trueup.Pool.from_config() as without:
        again = without.fetch(site.url("/a.zip"))
    assert (again.provider != provider, len(site.seen)) == (True, 2)


def test_a_provider_that_does_not_answer_costs_no_second_fetch(pool: Pool, site: Site, tmp_path: Path):
    site.pages["/a.zip"] = File(b"abc")
    provider = pool.fetch(site.url("/a.zip")).provider
    unplug(tmp_path / provider)
    with pytest.raises(StoreError):
        pool.fetch(site.url("/a.zip"))
    assert len(site.seen) == 1


def test_in_an_event_loop_too(pool: Pool, site: Site):
    site.pages["/a.zip"] = File(b"abc")
    assert asyncio.run(pool.afetch(site.url("/a.zip"))).file_size == 3


def test_a_password_is_used_and_not_kept(pool: Pool, site: Site):
    def secret(request: BaseHTTPRequestHandler) -> None:
        answer(request, 200 if request.headers.get("Authorization") else 401, b"x")

    site.pages["/a.zip"] = secret
    pool.fetch(site.url("/a.zip", user="me:hunter2@"))
    site.pages["/b.zip"] = lambda request: answer(request, 403)
    with pytest.raises(FetchError) as caught:
        pool.fetch(site.url("/b.zip", user="me:hunter2@"))
    assert "hunter2" not in json.dumps(records()) + str(caught.value)
    assert {record["status"] for record in records()} == {"completed", "failed"}


def test_what_a_password_opened_is_for_that_password_alone(pool: Pool, site: Site):
    def private(request: BaseHTTPRequestHandler) -> None:
        who = request.headers.get("Authorization", "")
        answer(request, 200 if who else 401, who.encode())

    site.pages["/a.zip"] = private
    mine, other = (site.url("/a.zip", user=f"{user}@") for user in ("me:hunter2", "me:hunter3"))
    first = pool.downloads.fetch(mine)
    assert pool.downloads.fetch(mine) == first._replace(new=False)
    assert pool.downloads.fetch(other).stored.key != first.stored.key
    with pytest.raises(FetchError, match="401"):
        pool.fetch(site.url("/a.zip"))
    assert first.source == site.url("/a.zip")
    assert len({record["url"] for record in records()}) == 3


# What goes wrong


def test_a_fetch_that_fails_is_recorded_and_leaves_no_object(pool: Pool, site: Site):
    with pytest.raises(FetchError, match="404"):
        pool.fetch(site.url("/gone.zip"))
    [record] = records()
    assert (record["status"], "404" in str(record["error"])) == ("failed", True)
    assert list(pool.ls()) == []
    site.pages["/gone.zip"] = File(b"back")
    assert pool.fetch(site.url("/gone.zip")).file_size == 4


def test_what_nobody_has_room_for_is_not_downloaded(pool: Pool, site: Site):
    def huge(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(6 * MB))
        request.end_headers()
        for _ in range(600):
            request.wfile.write(bytes(MB // 100))
            time.sleep(0.01)

    site.pages["/huge.zip"] = huge
    with pytest.raises(PoolFull):
        pool.fetch(site.url("/huge.zip"))
    assert records()[0]["status"] == "failed"
    body = folder(site.url("/huge.zip")) / "body"
    assert not body.exists() or body.stat().st_size < 6 * MB
    assert [row.file_count for row in pool.stats().providers] == [0, 0]


def test_one_url_is_fetched_by_one_at_a_time(pool: Pool, site: Site):
    began, go_on = threading.Event(), threading.Event()

    def slow(request: BaseHTTPRequestHandler) -> None:
        began.set()
        go_on.wait(30)
        answer(request, 200, b"abc")

    site.pages["/slow.zip"] = slow
    done: list[object] = []
    thread = threading.Thread(target=lambda: done.append(pool.fetch(site.url("/slow.zip"))))
    thread.start()
    assert began.wait(30)
    with pytest.raises(Busy, match="this URL is being fetched already"):
        pool.fetch(site.url("/slow.zip"))
    with (
        trueup.Pool.from_config(load_elsewhere()) as elsewhere,
        pytest.raises(Busy, match="this URL is being fetched already"),
    ):
        elsewhere.fetch(site.url("/slow.zip"))
    go_on.set()
    thread.join()
    assert [found.file_size for found in done] == [3]


def load_elsewhere():
    """The settings of another machine with the same database."""
    from dataclasses import replace

    settings = load()
    return replace(settings, home=settings.home / "elsewhere")


def test_a_private_address_is_refused(tmp_path: Path, pool: Pool, site: Site):
    (tmp_path / "trueup.toml").write_text(SETTINGS.replace("true", "false"))
    with trueup.Pool.from_config() as careful, pytest.raises(AddressRefused):
        careful.fetch(site.url("/a.zip"))
    assert site.connections == 0


KILLED = """
import os, signal, sys, trueup
from trueup.downloads import fetch

step = sys.argv[2]
pool = trueup.Pool.from_config()
fetcher = pool.downloads
if step == "downloading":
    def heard(done, total):
        if done > 1_000_000:
            os.kill(os.getpid(), signal.SIGKILL)
    fetcher.fetch(sys.argv[1], heard)
if step == "putting":
    pool.put = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
if step == "recording":
    fetcher._complete = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
fetcher.fetch(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("step", "asked"), [("downloading", ["If-Range"]), ("putting", ["If-None-Match"]), ("recording", [])]
)
def test_after_a_kill_the_next_fetch_goes_on(pool: Pool, site: Site, step: str, asked: list[str]):
    def slowly(request: BaseHTTPRequestHandler) -> None:
        file = File(DATA)
        write = request.wfile.write

        def piecemeal(data: bytes) -> None:
            for at in range(0, len(data), 100_000):
                write(data[at : at + 100_000])
                time.sleep(0.02)

        request.wfile.write = piecemeal
        file(request)

    site.pages["/a.zip"] = slowly if step == "downloading" else File(DATA)
    url = site.url("/a.zip")
    done = subprocess.run([sys.executable, "-c", KILLED, url, step], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert [record["status"] for record in records()] == ["running"]
    before = len(site.seen)
    found = pool.fetch(url)
    assert Path(found.url.removeprefix("file://")).read_bytes() == DATA
    again = [name for headers in site.seen[before:] for name in headers if name.startswith("If-")]
    assert again == asked
    assert sorted(str(record["status"]) for record in records()) == (
        ["completed"] if step == "recording" else ["completed", "failed"]
    )
    assert len(list(pool.ls())) == 1
    assert pool.stats().total_size_bytes == len(DATA)


# Tidying up


def test_what_is_old_goes_the_object_first(pool: Pool, site: Site, tmp_path: Path):
    site.pages["/a.zip"] = File(b"abc")
    pool.fetch(site.url("/a.zip"))
    pool.upload(tmp_path / "trueup.toml", "stays")
    assert pool.clean_old_downloads().removed == 0
    age(25)
    assert pool.clean_old_downloads().removed == 1
    assert ([stored.key for stored in pool.ls()], records()) == (["stays"], [])


def test_a_record_stays_as_long_as_its_object(pool: Pool, site: Site, tmp_path: Path):
    site.pages["/a.zip"] = File(b"abc")
    provider = pool.fetch(site.url("/a.zip")).provider
    age(25)
    (tmp_path / "trueup.toml").write_text(SETTINGS.replace(f'url = "{provider}"', 'url = "nonsense://x"'))
    with trueup.Pool.from_config() as without:
        swept = without.sweep()
    assert (swept.downloads, len(records())) == (0, 1)
    assert "nonsense" in swept.problems[0]
    assert pool.sweep().downloads == 1


def foreign(name: str, status: str, provider: str, key: str) -> None:
    """A record that an application of its own wrote."""
    with sqlite3.connect("trueup.db") as db:
        db.execute(
            "insert into downloads (id, url, status, storage_provider, key, file_size, error, created_at, updated_at) "
            "values (?, 'https://example.com', ?, ?, ?, 5, '', '2026-01-01', '2026-01-01')",
            (name, status, provider, key),
        )
    db.close()


def test_records_of_another_application_stay(pool: Pool):
    foreign("7", "completed", "a", "")
    foreign("8", "completed", "a", "never/put")
    foreign("9", "completed", "elsewhere", "k")
    foreign("10", "failed", "", "")
    foreign("11", "running", "", "")
    before = records()
    cleaned = pool.clean_old_downloads()
    assert (cleaned.removed, cleaned.left) == (0, 3)
    assert pool.clean_failed_downloads().failed == 0
    assert records() == before


def test_of_another_application_goes_what_the_pool_has_on_its_books(pool: Pool, tmp_path: Path):
    stored = pool.put(tmp_path / "trueup.toml", "k")
    other = "ab".replace(stored.provider, "")
    foreign("7", "completed", stored.provider, "k")
    foreign("8", "completed", other, "k")
    cleaned = pool.clean_old_downloads()
    assert (cleaned.removed, cleaned.left, [row["id"] for row in records()]) == (1, 1, ["8"])
    assert list(pool.ls()) == []


def test_of_another_application_stays_what_cannot_be_looked_for(pool: Pool, tmp_path: Path):
    stored = pool.put(tmp_path / "trueup.toml", "k")
    foreign("7", "completed", stored.provider, "k")
    unplug(tmp_path / stored.provider)
    cleaned = pool.clean_old_downloads()
    assert (cleaned.removed, cleaned.left, len(cleaned.problems), len(records())) == (0, 0, 1, 1)


def test_what_failed_or_was_given_up_leaves_nothing_behind(pool: Pool, site: Site):
    url = site.url("/a.zip")
    site.pages["/b.zip"] = File(DATA)
    subprocess.run([sys.executable, "-c", KILLED, site.url("/b.zip"), "recording"], check=False, timeout=60)
    with pytest.raises(FetchError):
        pool.fetch(site.url("/c.zip"))
    assert len(list(pool.ls())) == 1
    assert pool.clean_failed_downloads().failed == 0  # not yet
    age(2)
    partial = folder(url)
    partial.mkdir(parents=True)
    (partial / "body").write_bytes(b"some")
    for path in load().home.glob("downloads/*/*"):
        os.utime(path, (1, 1))
    for path in load().home.glob("downloads/*"):
        os.utime(path, (1, 1))
    cleaned = pool.clean_failed_downloads()
    assert cleaned.failed == 1
    assert cleaned.partial >= 2
    assert cleaned.problems == []
    assert list(pool.ls()) == []
    assert {str(record["status"]) for record in records()} == {"failed"}
    assert not list(load().home.glob("downloads/*"))
    age(25)
    pool.sweep()
    assert records() == []


def test_a_fetch_under_way_is_not_tidied_up(pool: Pool, site: Site):
    began, go_on = threading.Event(), threading.Event()

    def slow(request: BaseHTTPRequestHandler) -> None:
        began.set()
        go_on.wait(30)
        answer(request, 200, b"abc")

    site.pages["/slow.zip"] = slow
    thread = threading.Thread(target=pool.fetch, args=(site.url("/slow.zip"),))
    thread.start()
    assert began.wait(30)
    for path in (folder(site.url("/slow.zip")), *folder(site.url("/slow.zip")).iterdir()):
        os.utime(path, (1, 1))
    assert pool.clean_failed_downloads().partial == 0
    go_on.set()
    thread.join()
    assert [record["status"] for record in records()] == ["completed"]
