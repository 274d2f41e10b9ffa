"""Corrections in MongoDB: no step may be the last one, and whoever sleeps does no harm when he wakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from tests.catalog.test_mongo import AT, LATER, LIMITS, Died, Watched, put, wanted
from trueup.catalog import open_catalog
from trueup.catalog.base import MISSING, STORED, Catalog, Correction, Stored
from trueup.catalog.mongo.books import Books
from trueup.catalog.mongo.corrections import MongoCorrections
from trueup.errors import UsageError

Watch = Callable[[Callable[[], None]], MongoCorrections]


@pytest.fixture
def behind(mongo_url: str) -> Iterator[Database[dict[str, Any]]]:
    """The database, as another application sees it."""
    with MongoClient(mongo_url, tz_aware=True, tzinfo=UTC) as client:
        yield client.get_default_database()


@pytest.fixture
def catalog(mongo_url: str) -> Iterator[Catalog]:
    with closing(open_catalog(mongo_url, LIMITS)) as catalog:
        yield catalog


@pytest.fixture
def watched(behind: Database[dict[str, Any]]) -> Watch:
    """Makes the same corrections again, as another process would have them, with something before each call."""

    def make(before: Callable[[], None]) -> MongoCorrections:
        made = MongoCorrections(behind, Books(LIMITS))
        for owner in (made, made._amending):
            for name in ("_stats", "_objects", "_backups", "_backup_rows"):
                setattr(owner, name, Watched(getattr(owner, name), before))
        return made

    return make


def new(size: int, key: str = "new") -> Stored:
    return Stored("a", key, size, "new", AT, "theirs")


def lost(row: Stored) -> Stored:
    return row._replace(state=MISSING, idempotency="")


def mend(corrections: MongoCorrections, backup: str) -> list[bool]:
    rows = corrections.again("a", ["k", "l"])
    changes = {"k": lambda row: row._replace(size=35), "l": lambda _: None}
    mended = [Correction(row, changes[key](row)) for key, row in rows.items()]
    return corrections.correct(backup, "run", "a", [*mended, Correction(None, new(7))])


def lose(corrections: MongoCorrections, backup: str) -> list[bool]:
    losses = [Correction(row, lost(row)) for row in corrections.again("a", ["k", "l"]).values()]
    return corrections.correct(backup, "run", "a", losses)


def count_unowned(corrections: MongoCorrections, backup: str) -> list[bool]:
    return [corrections.set_unowned(backup, "run", "a", (0, 0), (2, 30))]


def restore(corrections: MongoCorrections, backup: str) -> list[bool]:
    with suppress(UsageError):  # somebody else was faster
        corrections.restore(backup)
    return []


MEANWHILE = ["swept", "overwritten", "removed", "corrected", "restored", "reserved"]
"""What others do while somebody sleeps: another thing at every step, as every server answers in its time."""
ACTS = [mend, lose, count_unowned, restore]


def before(catalog: Catalog, act: Callable[..., object], backup: str) -> list[Stored]:
    """The rows before any of it; what `restore` puts back is done already."""
    rows = [put(catalog.ledger, "k", 20, name="mine"), put(catalog.ledger, "l", 5, key="l")]
    if act is restore:
        wrong = [Correction(rows[0], lost(rows[0])), Correction(rows[1], None), Correction(None, new(7))]
        assert catalog.corrections.correct(backup, "run", "a", wrong) == [True] * 3
        assert catalog.corrections.set_unowned(backup, "run", "a", (0, 0), (2, 30))
    return rows


def settled(catalog: Catalog, behind: Database[dict[str, Any]]) -> None:
    """What a sweep makes of it. Then the books are exact, and nothing lies about."""
    for late in catalog.ledger.overdue(datetime.now(UTC) + LATER):
        catalog.ledger.release(late.token)
    assert catalog.ledger.overdue(datetime.now(UTC) + LATER) == []
    for document in behind["storage_stats"].find():
        assert [document.get(name, []) for name in ("reservations", "removals", "corrections")] == [[]] * 3
    for document in behind["objects"].find():
        assert document["state"] in {STORED, MISSING}
        assert not document.keys() & {"by", "lent", "pending_since"}
    assert {row["state"] for row in behind["backup_rows"].find()} <= {"kept", "back"}
    rows = list(catalog.corrections.rows("a"))
    assert len({row.key for row in rows}) == len(rows) == behind["objects"].count_documents({"provider": "a"})
    sizes = [row.size for row in rows if row.state == STORED]
    usage = catalog.ledger.usage()[0]
    assert usage.total_size_bytes == sum(sizes) + usage.unowned_bytes
    assert (usage.file_count, usage.reserved_bytes) == (len(sizes) + usage.unowned_count, 0)


def begin_again(catalog: Catalog, behind: Database[dict[str, Any]]) -> None:
    for row in list(catalog.ledger.objects()):
        assert catalog.ledger.remove(row)
    unowned = catalog.ledger.usage()[0][4:6]
    assert unowned == (0, 0) or catalog.corrections.set_unowned("cleared", "run", "a", unowned, (0, 0))
    settled(catalog, behind)
    assert catalog.ledger.usage()[0][1:6] == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("act", ACTS)
def test_whoever_dies_between_any_two_steps_leaves_books_that_become_exact_and_can_be_put_back(
    catalog: Catalog, watched: Watch, behind: Database[dict[str, Any]], act: Callable[..., object]
):
    changed = set()
    for last in count():
        backup = f"backup {last}"
        rows = before(catalog, act, backup)
        steps = iter(range(last))

        def die(steps: Iterator[int] = steps) -> None:
            if next(steps, None) is None:
                raise Died

        died = False
        try:
            act(watched(die), backup)
        except Died:
            died = True
        settled(catalog, behind)
        made = {each.id: each.restored_at is None for each in catalog.corrections.backups()}
        changed.add(made.get(backup))
        if made.get(backup):
            assert catalog.corrections.restore(backup)[1] == []
        settled(catalog, behind)
        assert list(catalog.corrections.rows("a")) == rows
        assert catalog.ledger.known("mine") == rows[0]
        assert catalog.ledger.usage()[0][1:6] == (25, 2, 0, 0, 0)
        begin_again(catalog, behind)
        if not died:
            break
    assert last >= 8
    assert changed == ({True, False} if act is restore else {None, True})


@pytest.mark.parametrize(("act", "first"), [(mend, 0), (lose, 3), (count_unowned, 1), (restore, 4)])
def test_whoever_sleeps_between_two_steps_does_no_harm_when_he_wakes(
    catalog: Catalog, watched: Watch, behind: Database[dict[str, Any]], act: Callable[..., object], first: int
):
    for sleep in count():
        meanwhile = MEANWHILE[(first + sleep) % len(MEANWHILE)]
        backup = f"backup {sleep}"
        before(catalog, act, backup)
        steps = iter(range(sleep))
        slept: list[bool] = []

        def others(
            steps: Iterator[int] = steps,
            slept: list[bool] = slept,
            backup: str = backup,
            sleep: int = sleep,
            meanwhile: str = meanwhile,
        ) -> None:
            if slept or next(steps, None) is not None:
                return
            slept.append(True)
            if meanwhile != "corrected":
                settled_by_a_sweep(catalog)
            match meanwhile:
                case "overwritten":
                    put(catalog.ledger, "k again", 21)
                    put(catalog.ledger, "new again", 3, key="new")
                case "removed":
                    for row in list(catalog.ledger.objects()):
                        catalog.ledger.remove(row)
                case "corrected":
                    rows = catalog.corrections.again("a", ["k", "l", "new"]).values()
                    bigger = [Correction(row, row._replace(size=row.size + 1)) for row in rows]
                    catalog.corrections.correct(f"other {sleep}", "run", "a", bigger)
                case "restored":
                    restore(catalog.corrections, backup)
                case "reserved":
                    hold(catalog, f"held {sleep}")

        done = act(watched(others), backup)
        settled(catalog, behind)
        kept = behind["backup_rows"].count_documents({"backup": backup})
        assert act is restore or kept == sum(done)
        restore(catalog.corrections, backup)
        begin_again(catalog, behind)
        if not slept:
            break
    assert sleep >= 8


def settled_by_a_sweep(catalog: Catalog) -> None:
    for late in catalog.ledger.overdue(datetime.now(UTC) + LATER):
        catalog.ledger.release(late.token)


def hold(catalog: Catalog, token: str) -> None:
    """An upload under way that nobody ends until the next sweep."""
    assert catalog.ledger.reserve(wanted(token, 30))


def test_a_correction_that_died_when_it_was_decided_is_carried_through_by_the_next_upload_of_its_key(
    catalog: Catalog, watched: Watch, behind: Database[dict[str, Any]]
):
    row = put(catalog.ledger, "k", 20)

    def die() -> None:
        if any(each["decided"] for each in behind["storage_stats"].find_one({"provider": "a"}).get("corrections", [])):
            raise Died

    with pytest.raises(Died):
        watched(die).correct("backup", "run", "a", [Correction(row, row._replace(size=35))])
    assert catalog.ledger.find("k") == [row]
    put(catalog.ledger, "other", 1, key="other")
    assert catalog.ledger.find("k") == [row]
    put(catalog.ledger, "next", 40)
    assert catalog.corrections.backups()[0].rows == 1
    assert catalog.ledger.usage()[0][1:3] == (41, 2)
    settled(catalog, behind)


def test_a_removal_carries_through_a_correction_that_died(
    catalog: Catalog, watched: Watch, behind: Database[dict[str, Any]]
):
    row = put(catalog.ledger, "k", 20)

    def die() -> None:
        if behind["objects"].find_one({"by": {"$exists": True}}) is not None:
            raise Died

    with pytest.raises(Died):
        watched(die).correct("backup", "run", "a", [Correction(row, row._replace(size=35))])
    assert not catalog.ledger.remove(row)  # another one has its place
    assert catalog.ledger.remove(row._replace(size=35))
    assert catalog.ledger.usage()[0][1:3] == (0, 0)
    settled(catalog, behind)
