"""The storage's numbers: asked again and again, beside whoever changes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

import trueup
from tests.api.server import SETTINGS, Server, serving, world
from trueup.config import load


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that may be asked as often as it can answer."""
    with serving(world(tmp_path_factory.mktemp("asked"), SETTINGS + '[server]\nrate_limit = "off"\n')) as running:
        yield running


def test_nobody_is_told_less_of_the_storage_than_was_there_when_he_asked(
    asked: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(asked.folder)

    def count() -> int:
        return int(asked.get("/api/storage/stats").json["total_file_count"])

    stored, over = count(), False

    def ask() -> int:
        times = 0
        while not over:
            before = stored
            assert count() >= before
            times += 1
        return times

    with trueup.Pool.from_config(load()) as pool, ThreadPoolExecutor(3) as threads:
        askers = [threads.submit(ask) for _ in range(3)]
        try:
            for number in range(20):
                pool.put([b"x"], f"one more {number}")
                stored += 1
                assert count() == count() == stored  # looked up, and remembered
        finally:
            over = True
        assert all(asker.result() for asker in askers)
        for number in range(20):
            pool.delete(f"one more {number}")
            assert count() == stored - number - 1


def test_books_that_are_locked_are_read_and_those_that_are_gone_are_nobody_s(asked: Server):
    books, away = asked.folder / "trueup.db", asked.folder / "away.db"
    told = asked.get("/api/storage/stats")
    with closing(sqlite3.connect(books, isolation_level=None)) as db:
        db.execute("begin exclusive")
        db.execute("update storage_stats set file_count = 7")
        assert asked.get("/api/storage/stats").body == told.body
        db.execute("commit")
        assert asked.get("/api/storage/stats").json["total_file_count"] == 7
        db.execute("update storage_stats set file_count = 0")
    books.rename(away)
    for _ in range(2):
        answer = asked.get("/api/storage/stats")
        assert (answer.status, answer.headers["Content-Type"]) == (503, "application/problem+json")
        assert "was moved, deleted or replaced" in answer.json["detail"]
    assert asked.get("/readyz").json["checks"]["database"].endswith("while it was used")
    books.write_bytes(b"another file")
    assert asked.get("/api/storage/stats").status == 503
    away.replace(books)
    assert asked.get("/api/storage/stats").body == told.body
