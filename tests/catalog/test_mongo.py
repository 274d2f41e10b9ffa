"""MongoDB: no step of an operation may be the last one, a collection may be somebody else's, a server may be gone."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from trueup.catalog import database, open_catalog
from trueup.catalog.base import COMPLETED, RUNNING, Limits, Reservation, Stored, Usage
from trueup.catalog.mongo.catalog import MongoCatalog
from trueup.catalog.mongo.ledger import MongoLedger
from trueup.errors import Busy, ConfigError, MissingExtra, TrueupError
from trueup.runs import RunRecord

LIMITS = {"a": Limits(quota=1000, full_below=10, rearm_below=900), "b": Limits(quota=500, full_below=0)}
AT = datetime(2026, 11, 21, 12, 0, 0, 123000, tzinfo=UTC)
LATER = timedelta(days=1)
"""After which every lease has ended, and whatever died is known to have."""


@pytest.fixture
def behind(mongo_url: str) -> Iterator[Database[dict[str, Any]]]:
    """The database, as another application sees it."""
    with MongoClient(mongo_url, tz_aware=True, tzinfo=UTC) as client:
        yield client.get_default_database()


@pytest.fixture
def ledger(mongo_url: str) -> Iterator[MongoLedger]:
    with closing(open_catalog(mongo_url, LIMITS)) as catalog:
        yield catalog.ledger


class Watched:
    """A collection that tells before each call, and may break off there."""

    def __init__(self, collection: object, before: Callable[[], None]) -> None:
        self.collection = collection
        self.before = before

    def __getattr__(self, name: str) -> object:
        method = getattr(self.collection, name)

        def called(*given: object, **named: object) -> object:
            self.before()
            return method(*given, **named)

        return called


class Died(Exception):
    """The process is no more."""


@pytest.fixture
def watched(mongo_url: str) -> Iterator[Callable[[Callable[[], None]], MongoLedger]]:
    """Makes the same ledger again, as another process would have it, with something that happens before each call."""
    with MongoClient(mongo_url, tz_aware=True, tzinfo=UTC) as client:

        def make(before: Callable[[], None]) -> MongoLedger:
            made = MongoLedger(client.get_default_database(), LIMITS)
            for owner in (made, made._settling):
                owner._stats, owner._objects = Watched(owner._stats, before), Watched(owner._objects, before)
            return made

        yield make


def wanted(token: str, size: int, *, key: str = "k", name: str = "") -> Reservation:
    return Reservation(token, "a", key, size, size, "", datetime.now(UTC) + timedelta(minutes=10), name)


def put(ledger: MongoLedger, token: str, size: int, *, key: str = "k", name: str = "") -> Stored:
    assert ledger.reserve(wanted(token, size, key=key, name=name))
    assert ledger.commit(token, size, token, AT)
    return next(stored for stored in ledger.find(key) if stored.md5 == token)


def settled(ledger: MongoLedger, behind: Database[dict[str, Any]], *, commit: bool = False) -> Usage:
    """What a sweep makes of it. Then the books are exact, and nothing lies about."""
    for late in ledger.overdue(datetime.now(UTC) + LATER):
        if commit:
            ledger.commit(late.token, late.size, late.token, AT)
        else:
            ledger.release(late.token)
    assert ledger.overdue(datetime.now(UTC) + LATER) == []
    for document in behind["storage_stats"].find():
        assert document.get("reservations", []) == document.get("removals", []) == []
    assert {document["state"] for document in behind["objects"].find()} <= {"stored"}
    objects = list(ledger.objects())
    assert len({(stored.provider, stored.key) for stored in objects}) == behind["objects"].count_documents({})
    for usage in ledger.usage():
        sizes = [stored.size for stored in objects if stored.provider == usage.provider]
        assert (usage.total_size_bytes, usage.file_count, usage.reserved_bytes) == (sum(sizes), len(sizes), 0)
    return ledger.usage()[0]


def overwrite(ledger: MongoLedger) -> None:
    if ledger.reserve(wanted("new", 30, name="mine")) and ledger.grow("new", 40):
        ledger.commit("new", 35, "new", AT)


def give_up(ledger: MongoLedger) -> None:
    if ledger.reserve(wanted("new", 30, name="mine")):
        ledger.release("new")


def remove(ledger: MongoLedger) -> None:
    for stored in ledger.find("k"):
        ledger.remove(stored)


def have_no_room(ledger: MongoLedger) -> None:
    ledger.reserve(wanted("new", 2000, name="mine"))


ACTS = [overwrite, give_up, remove, have_no_room]


@pytest.mark.parametrize("commit", [False, True])
@pytest.mark.parametrize("act", ACTS)
def test_whoever_dies_between_any_two_steps_leaves_books_that_become_exact(
    ledger: MongoLedger, watched, behind: Database[dict[str, Any]], act, commit: bool
):
    outcomes = set()
    for last in count():
        old = put(ledger, "old", 20)
        steps = iter(range(last))

        def die(steps: Iterator[int] = steps) -> None:
            if next(steps, None) is None:
                raise Died

        died = False
        try:
            act(watched(die))
        except Died:
            died = True
        usage = settled(ledger, behind, commit=commit)
        outcomes.add(usage.total_size_bytes)
        assert [stored for stored in ledger.find("k") if stored.size == old.size] in ([], [old])
        put(ledger, "mine again", 1, key="another", name="mine") if ledger.known("mine") is None else None
        for stored in list(ledger.objects()):
            assert ledger.remove(stored)
        assert settled(ledger, behind).total_size_bytes == 0
        if not died:
            break
    assert last >= 3
    overwritten = {20, 30, 35, 40} if commit else {20, 35}
    assert outcomes <= {overwrite: overwritten, remove: {0, 20}}.get(act, {20, 30, 2000} if commit else {20})


@pytest.mark.parametrize("meanwhile", ["swept", "committed", "removed", "again"])
@pytest.mark.parametrize("act", ACTS)
def test_whoever_sleeps_between_two_steps_does_no_harm_when_he_wakes(
    ledger: MongoLedger, watched, behind: Database[dict[str, Any]], act, meanwhile: str
):
    for sleep in count():
        put(ledger, "old", 20)
        steps = iter(range(sleep))
        slept: list[bool] = []

        def others(steps: Iterator[int] = steps, slept: list[bool] = slept) -> None:
            if slept or next(steps, None) is not None:
                return
            slept.append(True)
            settled(ledger, behind, commit=meanwhile == "committed")
            if meanwhile in {"removed", "again"}:
                remove(ledger)
            if meanwhile == "again":  # what looks the same as what the sleeper knows
                put(ledger, "old", 20)
                put(ledger, "another", 10, key="another")

        with suppress(Busy):
            act(watched(others))
        settled(ledger, behind)
        for stored in list(ledger.objects()):
            assert ledger.remove(stored)
        assert settled(ledger, behind).total_size_bytes == 0
        if not slept:
            break
    assert sleep >= 3


def test_many_at_once_with_sweeps_that_take_everybody_for_dead_keep_exact_books(
    mongo_url: str, behind: Database[dict[str, Any]]
):
    start = threading.Barrier(6)

    def work(seed: int) -> None:
        chance = Random(seed)
        with closing(open_catalog(mongo_url, LIMITS)) as catalog:
            ledger = catalog.ledger
            start.wait()
            for number in range(25):
                token, size = f"{seed}-{number}", chance.randrange(1, 300)
                match chance.choice(["put", "put", "put", "give up", "remove", "sweep"]):
                    case "put":
                        with suppress(Busy):
                            reservation = wanted(
                                token, size, key=chance.choice("klm"), name=chance.choice(["", "mine"])
                            )
                            if ledger.reserve(reservation):
                                ledger.commit(token, size, token, AT)
                    case "give up":
                        with suppress(Busy):
                            ledger.reserve(wanted(token, size, key=chance.choice("klm")))
                            ledger.release(token)
                    case "remove":
                        for stored in ledger.find(chance.choice("klm")):
                            with suppress(Busy):
                                ledger.remove(stored)
                    case "sweep":
                        for late in ledger.overdue(datetime.now(UTC) + LATER):
                            ledger.release(late.token)
                for usage in ledger.usage():
                    assert usage.total_size_bytes + usage.reserved_bytes <= LIMITS[usage.provider].quota

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))
    with closing(open_catalog(mongo_url, LIMITS)) as catalog:
        settled(catalog.ledger, behind)


def test_while_an_overwrite_is_carried_through_a_key_is_one_object(
    ledger: MongoLedger, watched, behind: Database[dict[str, Any]]
):
    """Of the older version a reader would think that it had wandered, and remove it: with the newer one's bytes."""
    put(ledger, "old", 20)
    seen = []
    act = watched(lambda: seen.append([stored.md5 for stored in ledger.find("k")]))
    put(act, "new", 30)
    assert all(len(found) == 1 for found in seen)
    assert seen[0] == ["old"]
    assert [stored.md5 for stored in ledger.objects()] == ["new"]


@pytest.mark.parametrize("committed", [False, True])
def test_a_sweep_that_sleeps_deletes_no_document_that_is_needed_by_now(
    ledger: MongoLedger, watched, behind: Database[dict[str, Any]], committed: bool
):
    """It takes the document for one that a crash left: the upload asks for room only after it has looked for that."""
    steps, inserted, looked = count(1), threading.Event(), threading.Event()

    def before_it_asks_for_room() -> None:
        if next(steps) == 2:
            inserted.set()
            assert looked.wait(30)

    slow = watched(before_it_asks_for_room)
    with ThreadPoolExecutor(1) as threads:
        reserving = threads.submit(slow.reserve, wanted("1", 5))
        assert inserted.wait(30)
        calls = count(1)

        def before_it_deletes() -> None:
            if next(calls) == 3:
                looked.set()
                assert reserving.result()
                if committed:
                    assert ledger.commit("1", 5, "1", AT)

        assert watched(before_it_deletes).overdue(datetime.now(UTC) + LATER) == []
    assert next(calls) == 4
    if not committed:
        assert not ledger.commit("1", 5, "1", AT)  # the upload reserves once more
    assert settled(ledger, behind).total_size_bytes == (5 if committed else 0)


def test_a_commit_that_died_when_it_was_decided_is_carried_through_by_the_next_upload(ledger: MongoLedger, watched):
    ledger.reserve(wanted("1", 5))
    steps = iter(range(3))

    def die() -> None:
        if next(steps, None) is None:
            raise Died

    with pytest.raises(Died):
        watched(die).commit("1", 5, "1", AT)
    assert ledger.find("k") == []
    assert ledger.reserve(wanted("2", 6))
    assert [(stored.size, stored.md5) for stored in ledger.find("k")] == [(5, "1")]
    assert ledger.usage()[0][1:4] == (5, 1, 6)
    assert not ledger.commit("1", 5, "1", AT)


def test_an_upload_under_way_is_not_what_a_crash_left(ledger: MongoLedger):
    assert ledger.reserve(wanted("1", 5, name="mine"))
    assert [late.token for late in ledger.overdue(datetime.now(UTC) + LATER)] == ["1"]
    assert ledger.overdue(datetime.now(UTC)) == []
    with pytest.raises(Busy):
        ledger.reserve(wanted("2", 5, key="other", name="mine"))
    assert ledger.commit("1", 5, "", AT)


# Somebody else's collections


def test_books_of_an_application_are_taken_over_as_unowned_and_keep_what_is_not_ours(
    mongo_url: str, behind: Database[dict[str, Any]]
):
    first = {"provider": "a", "total_size_bytes": 900, "file_count": 3, "is_full": False, "bucket": "theirs"}
    behind["storage_stats"].insert_one(first)
    for _ in range(2):
        with closing(open_catalog(mongo_url, LIMITS)) as catalog:
            [books, _] = catalog.ledger.usage()
            assert (books.total_size_bytes, books.file_count, books.reserved_bytes) == (900, 3, 0)
            assert (books.unowned_bytes, books.unowned_count) == (900, 3)
            assert not catalog.ledger.reserve(wanted("1", 101))
            put(catalog.ledger, "2", 50)
            remove(catalog.ledger)
    assert behind["storage_stats"].find_one({"provider": "a"}, {"_id": 1, "bucket": 1}) == {
        "_id": first["_id"],
        "bucket": "theirs",
    }


def test_a_document_without_numbers_holds_nothing_and_its_quota_counts(
    mongo_url: str, behind: Database[dict[str, Any]]
):
    behind["storage_stats"].insert_one({"provider": "a", "total_size_bytes": None})
    with closing(open_catalog(mongo_url, LIMITS)) as catalog:
        assert catalog.ledger.usage()[0][1:7] == (0, 0, 0, 0, 0, False)
        assert not catalog.ledger.reserve(wanted("1", 1001))
        assert put(catalog.ledger, "2", 1000)
        assert not catalog.ledger.reserve(wanted("3", 1, key="other"))
        assert catalog.ledger.usage()[0].is_full
        assert catalog.ledger.usage()[0].total_size_bytes == 1000


def test_runs_of_an_application_are_not_told(mongo_url: str, behind: Database[dict[str, Any]]):
    ours = RunRecord(run="2026-b", job="sweep", name="pool", status="ok", started="2026-b", seconds=1.5, summary={})
    theirs = {"run": "2026-c", "job": "j", "name": "n", "status": "ok", "started": "2026-c", "seconds": 1}
    with closing(open_catalog(mongo_url, {})) as catalog:
        catalog.runs.add(ours)
        behind["runs"].insert_many([{"_id": "2026-a"}, {"started": AT}, theirs, {**theirs, "summary": "{}"}])
        assert catalog.runs.latest(1) == [ours]
        assert catalog.runs.get("2026") == ours
        assert catalog.runs.get("2026-a") is None


def test_records_of_an_application_are_read_as_they_are(mongo_url: str, behind: Database[dict[str, Any]]):
    made = datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    theirs = ObjectId.from_datetime(made)
    times = {"createdAt": made + timedelta(days=1), "updatedAt": made + timedelta(days=2)}
    behind["downloads"].insert_many(
        [
            {"_id": theirs, "url": "u", "status": COMPLETED, "fileSize": 7, "title": "theirs"},
            {"_id": ObjectId(), "url": "v", "status": "queued", "storageProvider": "azure", **times},
            {"_id": ObjectId(), "url": "w", "status": RUNNING, **times},
        ]
    )
    with closing(open_catalog(mongo_url, {})) as catalog:
        downloads = catalog.downloads
        found = downloads.get(str(theirs))
        assert found is not None
        assert found == downloads.latest("u")
        assert (found.id, found.provider, found.size, found.key) == (str(theirs), "gcs", 7, "")
        assert found.created_at == found.updated_at == made
        new = downloads.begin("u", abandoned_before=AT)
        assert [record.url for record in downloads.ls()] == ["u", "v", "w", "u"]
        assert downloads.ls()[1][2:4] == ("queued", "azure")
        [queued] = downloads.older("queued", AT)
        assert queued.updated_at == times["updatedAt"]
        assert list(downloads.older(COMPLETED, AT)) == [found]
        running = next(downloads.older(RUNNING, AT))
        assert downloads.complete(running.id, provider="a", key="k", size=1)
        assert behind["downloads"].find_one({"_id": theirs})["title"] == "theirs"
        downloads.remove(str(theirs))
        assert downloads.get(str(theirs)) is None
        assert downloads.get(new.id) == new


def test_records_with_ids_of_both_kinds_are_told_page_by_page(mongo_url: str, behind: Database[dict[str, Any]]):
    theirs = [{"url": f"u{number}", "status": COMPLETED, "updatedAt": AT} for number in range(600)]
    ours = [{**record, "_id": f"dl_{number}"} for number, record in enumerate(theirs)]
    behind["downloads"].insert_many([*theirs, *ours])
    with closing(open_catalog(mongo_url, {})) as catalog:
        found = [record.id for record in catalog.downloads.older(COMPLETED, AT + LATER)]
    assert len(found) == len(set(found)) == 1200


# Opening


def test_a_url_without_a_database_means_the_one_named_trueup(mongo_server: dict[str, str]):
    with closing(open_catalog(f"mongodb://127.0.0.1:{mongo_server['port']}", {})) as catalog:
        assert isinstance(catalog, MongoCatalog)
        assert catalog._client.get_default_database("trueup").name == catalog.ledger._stats.database.name == "trueup"


def test_indexes_are_made_once_and_said(mongo_url: str, behind: Database[dict[str, Any]]):
    assert database.upgrade(mongo_url) == database.upgrade(mongo_url)
    assert "running_1" in behind["downloads"].index_information()


@pytest.mark.parametrize("url", ["mongodb://", "mongodb://me:hun:ter2@h/d", "mongodb://me:hunter2@h:port/d"])
def test_a_url_that_is_none_is_refused_without_its_password(url: str):
    with pytest.raises((ConfigError, TrueupError)) as caught:
        open_catalog(url, {})
    assert "ter2" not in str(caught.value)
    assert "[database] url" in str(caught.value)


def test_a_server_that_is_not_there_is_said_so_soon(monkeypatch: pytest.MonkeyPatch):
    from trueup.catalog.mongo import catalog

    monkeypatch.setattr(catalog, "_WAIT_MILLISECONDS", 300)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"mongodb://me:hunter2@127.0.0.1:{closed.getsockname()[1]}/d"
        for ask in (lambda: open_catalog(url, {}), lambda: database.upgrade(url)):
            with pytest.raises(TrueupError, match=r"Connection refused. Check \[database\] url") as caught:
                ask()
            assert "hunter2" not in str(caught.value)


def test_what_the_server_refuses_later_is_an_error_of_ours(mongo_url: str, behind: Database[dict[str, Any]]):
    with closing(open_catalog(mongo_url, LIMITS)) as catalog:
        behind["storage_stats"].update_one({"provider": "a"}, {"$set": {"total_size_bytes": "many"}})
        with pytest.raises(TrueupError, match="cannot be used"):
            catalog.ledger.reserve(wanted("1", 1))


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    import sys

    for name in [name for name in sys.modules if name.startswith("trueup.catalog.mongo")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pymongo", None)
    for ask in (lambda: open_catalog("mongodb://h/d", {}), lambda: database.upgrade("mongodb+srv://h/d")):
        with pytest.raises(MissingExtra, match=r"trueup\[mongo\]"):
            ask()
