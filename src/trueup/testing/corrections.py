"""The conformance suite of corrections: every sentence of `trueup.catalog.base.Corrections` that a test can hold.

    class TestMyCorrections(CorrectionsContract):
        @pytest.fixture
        def catalog(self):
            yield open_my_catalog(..., LIMITS)          # empty

`again()` opens the same database a second time, as another process would; the fixture closes what it opened.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from trueup.catalog.base import MISSING, STORED, Catalog, Correction, Limits, Reservation, Stored
from trueup.errors import Busy, UsageError

LIMITS: Final = {"a": Limits(quota=1000, full_below=100, rearm_below=500), "b": Limits(quota=10**9, full_below=0)}
"""What the catalog under test is to be opened with."""
_NOW: Final = datetime(2026, 11, 21, 12, 0, 0, 123000, tzinfo=UTC)


class CorrectionsContract:
    """Subclass it, name the class `Test…`, and give it a `catalog` fixture that yields an empty catalog of `LIMITS`."""

    many = 10_500
    """Rows, of which a test makes so many at once: more than are read at once."""

    @pytest.fixture
    def catalog(self) -> Iterator[Catalog]:
        """An empty catalog."""
        raise NotImplementedError("give the subclass a `catalog` fixture")

    def again(self) -> Catalog:
        """The same database, opened once more."""
        raise NotImplementedError("say how the database is opened once more")

    def test_rows_come_by_the_bytes_of_their_keys_and_of_one_provider(self, catalog: Catalog) -> None:
        names = ["B", "a", "a b", "é", "e", "z", "\uffee", "\U0001f600", "_", "a/b", "a-b", "$k", "Ä"]
        for name in names:
            _put(catalog, name, 1)
        _put(catalog, "elsewhere", 1, provider="b")
        assert [row.key for row in catalog.corrections.rows("a")] == sorted(names, key=str.encode)
        assert [row.key for row in catalog.corrections.rows("b")] == ["elsewhere"]
        assert list(catalog.corrections.rows("nobody")) == []
        assert [row.key for row in catalog.corrections.rows("a", "a-b", "e")] == ["a-b", "a/b"]
        assert [row.key for row in catalog.corrections.rows("a", "é")] == ["é", "\uffee", "\U0001f600"]

    def test_many_rows_come_page_by_page_while_they_change_and_go_back(self, catalog: Catalog) -> None:
        names = [f"k{number:05}" for number in range(self.many)]
        new = [Correction(None, _row(name, 2, provider="b")) for name in names]
        assert all(catalog.corrections.correct("first", "run", "b", new))
        assert len(catalog.corrections.again("b", names)) == self.many
        assert catalog.corrections.covered("b", names) == set()
        seen = []
        for row in catalog.corrections.rows("b"):
            seen.append(row.key)
            if len(seen) == 10:
                catalog.ledger.remove(row)
                catalog.corrections.correct("second", "run", "b", [Correction(None, _row("a", 1, provider="b"))])
        assert seen == names
        assert catalog.ledger.usage()[1][1:3] == (2 * self.many - 1, self.many)
        assert catalog.corrections.restore("first") == (self.many - 1, [names[9]])
        assert [row.key for row in catalog.ledger.objects()] == ["a"]
        _check(catalog)

    def test_rows_are_read_again_by_key(self, catalog: Catalog) -> None:
        one = _put(catalog, "one", 1)
        lost = _lose(catalog, _put(catalog, "lost", 2))
        _put(catalog, "one", 3, provider="b")
        assert catalog.corrections.again("a", ["one", "lost", "nothing"]) == {"one": one, "lost": lost}
        assert catalog.corrections.again("a", []) == {}

    def test_a_key_is_covered_while_it_is_being_uploaded(self, catalog: Catalog) -> None:
        catalog.ledger.reserve(_wanted("k"))
        catalog.ledger.reserve(_wanted("other", provider="b"))
        assert catalog.corrections.covered("a", ["k", "other", "nothing"]) == {"k"}
        catalog.ledger.release("k")
        assert catalog.corrections.covered("a", ["k", "other"]) == set()

    def test_rows_are_changed_struck_off_and_added_and_the_sums_with_them(self, catalog: Catalog) -> None:
        wrong, gone, kept = _put(catalog, "wrong", 10, name="mine"), _put(catalog, "gone", 20), _put(catalog, "kept", 3)
        lost = _put(catalog, "lost", 40, name="lost")
        right = wrong._replace(size=15, md5="right")
        missing = lost._replace(state=MISSING, idempotency="")
        corrections = [
            Correction(wrong, right),
            Correction(gone, None),
            Correction(None, _row("$new", 100)),
            Correction(lost, missing),
        ]
        assert catalog.corrections.correct("backup", "run", "a", corrections) == [True] * 4
        assert list(catalog.corrections.rows("a")) == [_row("$new", 100), kept, missing, right]
        assert catalog.ledger.find("wrong") == [right]
        assert catalog.ledger.known("mine") == right
        assert catalog.ledger.find("gone") == []
        assert _sums(catalog)[:2] == (118, 3)
        _check(catalog)

    def test_what_is_missing_takes_no_room_and_is_found_only_by_who_asks_for_it(self, catalog: Catalog) -> None:
        missing = _lose(catalog, _put(catalog, "k", 1000, name="mine"))
        assert _sums(catalog)[:2] == (0, 0)
        assert catalog.ledger.find("k") == []
        assert catalog.ledger.find("k", missing=True) == list(catalog.ledger.objects()) == [missing]
        assert catalog.ledger.known("mine") is None
        assert catalog.ledger.reserve(_wanted("other", 1000)._replace(idempotency="mine"))
        catalog.ledger.release("other")
        assert catalog.ledger.remove(missing)
        assert not catalog.ledger.remove(missing)
        assert list(catalog.ledger.objects()) == []
        _check(catalog)

    def test_an_upload_takes_the_place_of_what_is_missing(self, catalog: Catalog) -> None:
        _lose(catalog, _put(catalog, "k", 600))
        new = _put(catalog, "k", 700)
        assert catalog.ledger.find("k", missing=True) == [new]
        assert _sums(catalog)[:2] == (700, 1)
        _check(catalog)

    def test_what_was_missing_and_is_there_counts_again(self, catalog: Catalog) -> None:
        missing = _lose(catalog, _put(catalog, "k", 600))
        found = missing._replace(state=STORED, size=500)
        assert catalog.corrections.correct("again", "run", "a", [Correction(missing, found)]) == [True]
        assert catalog.ledger.find("k") == [found]
        assert _sums(catalog)[:2] == (500, 1)
        _check(catalog)

    def test_a_row_that_is_not_as_it_was_read_stays(self, catalog: Catalog) -> None:
        here = _put(catalog, "k", 10)
        for before in (here._replace(size=11), here._replace(md5="x"), here._replace(idempotency="x"), None):
            wanted = [Correction(before, here._replace(size=99))]
            assert catalog.corrections.correct("backup", "run", "a", wanted) == [False]
        absent = Correction(_row("absent", 1), _row("absent", 2))
        assert catalog.corrections.correct("backup", "run", "a", [absent]) == [False]
        assert catalog.corrections.correct("backup", "run", "nobody", [absent]) == [False]
        assert catalog.corrections.correct("backup", "run", "a", []) == []
        assert list(catalog.ledger.objects()) == [here]
        assert catalog.corrections.backups() == []
        _check(catalog)

    def test_a_row_that_is_being_uploaded_stays(self, catalog: Catalog) -> None:
        here = _put(catalog, "k", 10)
        catalog.ledger.reserve(_wanted("k", 20))
        catalog.ledger.reserve(_wanted("new", 20))
        wanted = [Correction(here, None), Correction(None, _row("new", 5)), Correction(None, _row("other", 5))]
        assert catalog.corrections.correct("backup", "run", "a", wanted) == [False, False, True]
        assert catalog.ledger.commit("k", 20, "", _NOW)
        assert [row.size for row in catalog.ledger.find("k")] == [20]
        assert _sums(catalog)[:3] == (25, 2, 20)
        _check(catalog)

    def test_a_key_is_corrected_once_in_a_backup(self, catalog: Catalog) -> None:
        one, two = _row("k", 1), _row("k", 2)
        twice = [Correction(None, one), Correction(one, two)]
        assert catalog.corrections.correct("backup", "run", "a", twice) == [True, False]
        assert catalog.corrections.correct("backup", "run", "a", twice[1:]) == [False]
        assert catalog.corrections.correct("another", "run", "a", twice[1:]) == [True]
        assert list(catalog.ledger.objects()) == [two]
        _check(catalog)

    def test_a_name_that_an_upload_has_is_given_to_no_row(self, catalog: Catalog) -> None:
        _put(catalog, "k", 1, name="mine")
        catalog.ledger.reserve(_wanted("other")._replace(idempotency="theirs"))
        wanted = [Correction(None, _row(name, 1)._replace(idempotency=name)) for name in ("mine", "theirs", "free")]
        assert catalog.corrections.correct("backup", "run", "a", wanted) == [False, False, True]
        assert catalog.ledger.known("free") == wanted[2].after
        _check(catalog)

    def test_what_lies_there_unowned_counts(self, catalog: Catalog) -> None:
        _put(catalog, "k", 10)
        assert not catalog.corrections.set_unowned("backup", "run", "a", (1, 1), (2, 30))
        assert not catalog.corrections.set_unowned("backup", "run", "nobody", (0, 0), (2, 30))
        assert catalog.corrections.backups() == []
        assert catalog.corrections.set_unowned("backup", "run", "a", (0, 0), (2, 30))
        assert _sums(catalog) == (40, 3, 0, 2, 30)
        assert not catalog.corrections.set_unowned("backup", "run", "a", (0, 0), (2, 30))
        assert catalog.corrections.set_unowned("backup", "run", "a", (2, 30), (1, 5))
        assert _sums(catalog) == (15, 2, 0, 1, 5)
        [backup] = catalog.corrections.backups()
        assert (backup.id, backup.rows) == ("backup", 0)
        assert catalog.corrections.restore("backup") == (0, [])
        assert _sums(catalog) == (10, 1, 0, 0, 0)
        _check(catalog)

    def test_a_provider_that_becomes_full_by_it_is_told(self, catalog: Catalog) -> None:
        assert catalog.corrections.set_unowned("backup", "run", "a", (0, 0), (1, 950))
        assert catalog.ledger.usage()[0].is_full
        [message] = catalog.outbox.due(datetime.now(UTC) + timedelta(seconds=1))
        assert (message.kind, message.payload["used_bytes"]) == ("pool.full", 950)
        assert catalog.corrections.set_unowned("another", "run", "a", (1, 950), (0, 0))
        assert not catalog.ledger.usage()[0].is_full

    def test_more_may_lie_there_than_the_quota_allows(self, catalog: Catalog) -> None:
        new = [Correction(None, _row("k", 5000))]
        assert catalog.corrections.correct("backup", "run", "a", new) == [True]
        assert _sums(catalog)[:2] == (5000, 1)
        assert catalog.ledger.usage()[0].is_full
        assert not catalog.ledger.reserve(_wanted("other", 1))
        _check(catalog)

    def test_a_backup_puts_everything_back_bit_for_bit(self, catalog: Catalog) -> None:
        rows = [_put(catalog, f"k{number}é", number, name=f"n{number}") for number in range(1, 31)]
        gone, lost, wrong = rows[:10], rows[10:20], rows[20:]
        catalog.ledger.refuse("a")
        before = (list(catalog.ledger.objects()), catalog.ledger.usage())
        strike = [Correction(row, None) for row in gone]
        lose = [Correction(row, row._replace(state=MISSING, idempotency="")) for row in lost]
        mend = [Correction(row, row._replace(size=row.size + 1, md5="new")) for row in wrong]
        for some in (strike, lose, mend, [Correction(None, _row("new", 7))]):
            assert all(catalog.corrections.correct("backup", "run", "a", some))
        assert catalog.corrections.set_unowned("backup", "run", "a", (0, 0), (3, 300))
        _check(catalog)
        [backup] = catalog.corrections.backups()
        assert (backup.id, backup.run, backup.provider, backup.rows) == ("backup", "run", "a", 31)
        assert backup.restored_at is None
        assert abs(datetime.now(UTC) - backup.created_at) < timedelta(minutes=5)
        assert catalog.corrections.restore("backup") == (31, [])
        assert (list(catalog.ledger.objects()), catalog.ledger.usage()) == before
        assert catalog.ledger.known("n15") == lost[4]
        [backup] = catalog.corrections.backups()
        assert backup.restored_at is not None
        _check(catalog)

    def test_what_was_changed_since_stays_and_the_sums_are_true(self, catalog: Catalog) -> None:
        rows = [_put(catalog, name, 10, name=f"n {name}") for name in ("again", "gone", "moved", "named", "well")]
        lose = [Correction(row, row._replace(state=MISSING, idempotency="")) for row in rows]
        assert all(catalog.corrections.correct("backup", "run", "a", lose))
        newer = _put(catalog, "again", 77)
        assert catalog.ledger.remove(rows[1]._replace(state=MISSING, idempotency=""))
        catalog.ledger.reserve(_wanted("moved", 5))
        _put(catalog, "elsewhere", 3, provider="b", name="n named")
        assert catalog.corrections.restore("backup") == (1, ["again", "gone", "moved", "named"])
        assert catalog.ledger.find("again") == [newer]
        assert catalog.ledger.find("gone", missing=True) == []
        assert catalog.ledger.find("well") == [rows[4]]
        assert _sums(catalog)[:3] == (87, 2, 5)
        _check(catalog)

    def test_what_is_struck_off_since_counts_nothing_although_no_sum_tells(self, catalog: Catalog) -> None:
        missing = _lose(catalog, _put(catalog, "k", 10))
        catalog.ledger.remove(missing)
        assert catalog.corrections.restore("lost k") == (0, ["k"])
        assert _sums(catalog)[:2] == (0, 0)
        _check(catalog)

    @pytest.mark.parametrize("when", ["between", "after"])
    def test_an_upload_meanwhile_is_not_undone(self, catalog: Catalog, when: str) -> None:
        one, two = _put(catalog, "one", 10), _put(catalog, "two", 20)
        assert catalog.corrections.correct("backup", "run", "a", [Correction(one, None)]) == [True]
        if when == "between":
            _put(catalog, "new", 100)
        assert catalog.corrections.correct("backup", "run", "a", [Correction(two, None)]) == [True]
        assert catalog.corrections.set_unowned("backup", "run", "a", (0, 0), (1, 7))
        if when == "after":
            _put(catalog, "new", 100)
        assert catalog.corrections.restore("backup") == (2, [])
        assert _sums(catalog)[:2] == (130, 3)
        _check(catalog)

    def test_backups_are_undone_one_after_the_other(self, catalog: Catalog) -> None:
        first = _put(catalog, "k", 10)
        second, third = first._replace(size=20), first._replace(size=30)
        catalog.corrections.correct("1", "run 1", "a", [Correction(first, second)])
        catalog.corrections.correct("2", "run 2", "a", [Correction(second, third)])
        assert {backup.id for backup in catalog.corrections.backups()} == {"1", "2"}
        assert catalog.corrections.restore("2") == (1, [])
        assert catalog.ledger.find("k") == [second]
        assert catalog.corrections.restore("1") == (1, [])
        assert catalog.ledger.find("k") == [first]
        _check(catalog)

    def test_a_backup_is_restored_once_and_one_that_is_not_there_never(self, catalog: Catalog) -> None:
        _lose(catalog, _put(catalog, "k", 10))
        with pytest.raises(UsageError, match="there is no backup other"):
            catalog.corrections.restore("other")
        assert catalog.corrections.restore("lost k") == (1, [])
        with pytest.raises(UsageError, match="was restored already"):
            catalog.corrections.restore("lost k")
        assert _sums(catalog)[:2] == (10, 1)

    def test_of_two_that_correct_one_row_one_does(self, catalog: Catalog) -> None:
        other = self.again()
        for number in range(20):
            here = _put(catalog, "k", 10)
            start = threading.Barrier(2)

            def correct(
                one: Catalog, size: int, here: Stored = here, start: threading.Barrier = start, number: int = number
            ) -> bool:
                start.wait()
                wanted = [Correction(here, here._replace(size=size))]
                return one.corrections.correct(f"{number}-{size}", "run", "a", wanted)[0]

            with ThreadPoolExecutor(2) as threads:
                done = [threads.submit(correct, catalog, 11), threads.submit(correct, other, 12)]
                sizes = [size for one, size in zip(done, (11, 12), strict=True) if one.result()]
            assert [row.size for row in catalog.ledger.find("k")] == sizes
            _check(catalog)

    def test_uploads_and_removals_beside_it_keep_the_books_exact(self, catalog: Catalog) -> None:
        catalogs = [catalog, *(self.again() for _ in range(3))]
        start = threading.Barrier(4)
        names = ["k", "l", "m"]

        def upload(worker: int) -> None:
            start.wait()
            for number in range(40):
                name, token = names[number % 3], f"{worker}-{number}"
                with suppress(Busy):
                    wanted = _wanted(name, number, token=token)._replace(idempotency="mine" if number % 4 else "")
                    if catalogs[worker].ledger.reserve(wanted):
                        catalogs[worker].ledger.commit(token, number, token, _NOW)

        def remove(worker: int) -> None:
            start.wait()
            for number in range(40):
                for row in catalogs[worker].ledger.find(names[number % 3], missing=True):
                    with suppress(Busy):
                        catalogs[worker].ledger.remove(row)

        def correct(worker: int) -> int:
            start.wait()
            done = 0
            for number in range(40):
                rows = catalogs[worker].corrections.again("a", names)
                wanted = [_some_change(name, rows.get(name), number) for name in names]
                backup = f"{worker}-{number}"
                made = sum(catalogs[worker].corrections.correct(backup, "run", "a", wanted))
                if made and number % 5 == 0:
                    catalogs[worker].corrections.restore(backup)
                done += made
            return done

        with ThreadPoolExecutor(4) as threads:
            others = [threads.submit(upload, 0), threads.submit(remove, 1)]
            correcting = [threads.submit(correct, 2), threads.submit(correct, 3)]
            assert sum(one.result() for one in correcting) > 0
            for one in others:
                one.result()
        _check(catalog)
        assert catalog.ledger.usage()[0].reserved_bytes == 0


def _some_change(name: str, row: Stored | None, number: int) -> Correction:
    if row is None:
        return Correction(None, _row(name, number))
    changes = [None, row._replace(size=number), row._replace(state=MISSING, idempotency="")]
    return Correction(row, changes[number % 3])


def _row(key: str, size: int, *, provider: str = "a") -> Stored:
    return Stored(provider, key, size, f"md5 of {key}", _NOW)


def _wanted(key: str, size: int = 1, *, provider: str = "a", token: str = "") -> Reservation:
    return Reservation(token or key, provider, key, size, size, "", datetime.now(UTC) + timedelta(minutes=10))


def _put(catalog: Catalog, key: str, size: int, *, provider: str = "a", name: str = "") -> Stored:
    assert catalog.ledger.reserve(_wanted(key, size, provider=provider)._replace(idempotency=name))
    assert catalog.ledger.commit(key, size, f"md5 of {key}", _NOW)
    return catalog.corrections.again(provider, [key])[key]


def _lose(catalog: Catalog, row: Stored) -> Stored:
    missing = row._replace(state=MISSING, idempotency="")
    assert catalog.corrections.correct(f"lost {row.key}", "run", row.provider, [Correction(row, missing)]) == [True]
    return missing


def _sums(catalog: Catalog) -> tuple[int, ...]:
    return catalog.ledger.usage()[0][1:6]


def _check(catalog: Catalog) -> None:
    """The counters equal the sums."""
    for usage in catalog.ledger.usage():
        rows = list(catalog.corrections.rows(usage.provider))
        sizes = [row.size for row in rows if row.state == STORED]
        assert usage.total_size_bytes == sum(sizes) + usage.unowned_bytes
        assert usage.file_count == len(sizes) + usage.unowned_count
        assert [row.key for row in rows] == sorted({row.key for row in rows}, key=str.encode)
