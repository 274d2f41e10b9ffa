"""The conformance suite of ledgers: every sentence of `trueup.catalog.base.Ledger` that a test can hold.

    class TestMyLedger(LedgerContract):
        @pytest.fixture
        def ledger(self):
            yield MyLedger(..., LIMITS)          # empty

`again()` opens the same books a second time, as another process would; the fixture closes what it opened.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from trueup.catalog.base import Ledger, Limits, Reservation, Stored
from trueup.errors import Busy

LIMITS: Final = {"a": Limits(quota=1000, full_below=10), "b": Limits(quota=500, full_below=0)}
"""What the ledger under test is to be opened with."""
_NOW: Final = datetime(2026, 11, 21, 12, 0, 0, 123000, tzinfo=UTC)


class LedgerContract:
    """Subclass it, name the class `Test…`, and give it a `ledger` fixture that yields an empty ledger of `LIMITS`."""

    @pytest.fixture
    def ledger(self) -> Iterator[Ledger]:
        """An empty ledger."""
        raise NotImplementedError("give the subclass a `ledger` fixture")

    def again(self) -> Ledger:
        """The same books, opened once more."""
        raise NotImplementedError("say how the books are opened once more")

    def test_it_begins_with_every_provider_and_nothing_in_it(self, ledger: Ledger) -> None:
        assert [(found.provider, *found[1:7]) for found in ledger.usage()] == [
            ("a", 0, 0, 0, 0, 0, False),
            ("b", 0, 0, 0, 0, 0, False),
        ]
        assert list(ledger.objects()) == []
        assert ledger.find("k") == []
        assert ledger.overdue(_NOW) == []
        assert ledger.known("t") is None
        assert abs(datetime.now(UTC) - ledger.usage()[0].last_updated) < timedelta(minutes=5)

    def test_an_upload_is_promised_room_and_then_booked(self, ledger: Ledger) -> None:
        assert ledger.reserve(_wanted("1", 600))
        assert (_used(ledger), _reserved(ledger)) == (0, 600)
        assert ledger.commit("1", 600, "f" * 32, _NOW)
        assert (_used(ledger), _reserved(ledger)) == (600, 0)
        assert ledger.find("k") == list(ledger.objects()) == [Stored("a", "k", 600, "f" * 32, _NOW)]
        assert not ledger.commit("1", 600, "f" * 32, _NOW)
        _check(ledger)

    def test_what_does_not_fit_is_promised_nothing_and_the_provider_is_full(self, ledger: Ledger) -> None:
        assert ledger.reserve(_wanted("1", 600))
        assert not ledger.usage()[0].is_full
        assert not ledger.reserve(_wanted("2", 401, key="other"))
        assert _reserved(ledger) == 600
        assert ledger.usage()[0].is_full
        ledger.release("1")
        ledger.release("1")
        assert _reserved(ledger) == 0
        assert not ledger.usage()[0].is_full
        assert ledger.reserve(_wanted("3", 1000))
        assert ledger.usage()[0].is_full
        _check(ledger)

    def test_what_takes_no_more_room_is_let_in_where_there_is_none(self, ledger: Ledger) -> None:
        assert ledger.reserve(_wanted("1", 1000))
        assert ledger.commit("1", 1000, "", _NOW)
        assert not ledger.reserve(_wanted("2", 1, key="other"))
        assert ledger.reserve(_wanted("3", 900)._replace(reserved=0))
        assert ledger.commit("3", 900, "", _NOW)
        assert (_used(ledger), _reserved(ledger)) == (900, 0)
        _check(ledger)

    def test_an_upload_of_unknown_length_grows_as_far_as_there_is_room(self, ledger: Ledger) -> None:
        assert ledger.reserve(_wanted("1", 0))
        assert ledger.grow("1", 700)
        assert ledger.grow("1", 300)  # it has more already
        assert _reserved(ledger) == 700
        assert not ledger.grow("1", 1001)
        assert ledger.grow("1", 1000)
        assert ledger.commit("1", 850, "", _NOW)
        assert (_used(ledger), _reserved(ledger)) == (850, 0)
        assert not ledger.grow("1", 1)
        _check(ledger)

    def test_an_overwrite_counts_once(self, ledger: Ledger) -> None:
        ledger.reserve(_wanted("1", 600))
        ledger.commit("1", 600, "1", _NOW)
        assert ledger.reserve(_wanted("2", 900)._replace(reserved=300))
        later = _NOW + timedelta(seconds=1)
        assert ledger.commit("2", 900, "2", later)
        assert ledger.find("k") == [Stored("a", "k", 900, "2", later)]
        assert (_used(ledger), ledger.usage()[0].file_count) == (900, 1)
        _check(ledger)

    def test_a_key_at_two_providers_is_found_at_both(self, ledger: Ledger) -> None:
        for token, provider in (("1", "a"), ("2", "b")):
            ledger.reserve(_wanted(token, 10)._replace(provider=provider))
            ledger.commit(token, 10, "", _NOW + timedelta(seconds=int(token)))
        assert [stored.provider for stored in ledger.find("k")] == ["b", "a"]
        newer, older = ledger.find("k")
        assert not ledger.remove(older._replace(created_at=_NOW))
        assert ledger.remove(older)
        assert not ledger.remove(older)
        assert ledger.find("k") == [newer]
        assert [stored.provider for stored in ledger.find("k")] == ["b"]
        _check(ledger)

    def test_one_key_is_uploaded_by_one_at_a_time(self, ledger: Ledger) -> None:
        assert ledger.reserve(_wanted("1", 10))
        with pytest.raises(Busy):
            ledger.reserve(_wanted("2", 10))
        assert ledger.reserve(_wanted("3", 10)._replace(provider="b"))
        assert _reserved(ledger) == 10
        ledger.commit("1", 10, "", _NOW)
        assert ledger.reserve(_wanted("4", 10))

    def test_an_idempotency_token_names_one_upload(self, ledger: Ledger) -> None:
        assert ledger.reserve(_wanted("1", 10)._replace(idempotency="mine"))
        with pytest.raises(Busy):
            ledger.reserve(_wanted("2", 10, key="other")._replace(idempotency="mine"))
        assert _reserved(ledger) == 10
        ledger.commit("1", 10, "x", _NOW)
        found = ledger.known("mine")
        assert found is not None
        assert (found.key, found.md5) == ("k", "x")
        ledger.remove(found)
        assert ledger.known("mine") is None

    def test_what_nobody_renews_is_overdue(self, ledger: Ledger) -> None:
        for token, minutes in (("1", 1), ("2", 2), ("3", 3)):
            ledger.reserve(_wanted(token, 1, key=token)._replace(lease_until=_NOW + timedelta(minutes=minutes)))
        assert [found.token for found in ledger.overdue(_NOW + timedelta(minutes=2, seconds=1))] == ["1", "2"]
        ledger.renew(["1", "gone"], _NOW + timedelta(minutes=9))
        [late] = ledger.overdue(_NOW + timedelta(minutes=2, seconds=1))
        assert late == _wanted("2", 1, key="2")._replace(lease_until=_NOW + timedelta(minutes=2))

    def test_a_removal_strikes_off_the_very_object_it_names(self, ledger: Ledger) -> None:
        for size in (600, 700):  # within one millisecond
            ledger.reserve(_wanted(str(size), size)._replace(reserved=size - _used(ledger)))
            assert ledger.commit(str(size), size, str(size), _NOW)
        assert not ledger.remove(Stored("a", "k", 600, "600", _NOW))
        assert [stored.size for stored in ledger.find("k")] == [700]
        assert ledger.remove(Stored("a", "k", 700, "700", _NOW))
        assert _used(ledger) == 0
        _check(ledger)

    def test_a_name_that_an_object_has_is_in_use(self, ledger: Ledger) -> None:
        ledger.reserve(_wanted("1", 10)._replace(idempotency="mine"))
        ledger.commit("1", 10, "", _NOW)
        with pytest.raises(Busy):
            ledger.reserve(_wanted("2", 10, key="other")._replace(idempotency="mine"))
        assert _reserved(ledger) == 0
        ledger.reserve(_wanted("3", 10))
        ledger.commit("3", 10, "", _NOW)  # the object of that name is no more
        assert ledger.known("mine") is None
        assert ledger.reserve(_wanted("4", 10, key="other")._replace(idempotency="mine"))
        ledger.release("4")
        assert ledger.reserve(_wanted("5", 10, key="other")._replace(idempotency="mine"))

    def test_names_are_taken_as_they_are(self, ledger: Ledger) -> None:
        for name in ("$key", "$$ROOT", "a.b", "{$ne: 1}", "é\u202e"):
            wanted = Reservation(name, "a", name, 3, 3, name, _NOW, name)
            assert ledger.reserve(wanted)
            ledger.renew([name], _NOW - timedelta(seconds=1))
            assert ledger.overdue(_NOW) == [wanted._replace(lease_until=_NOW - timedelta(seconds=1))]
            assert ledger.grow(name, 5)
            assert ledger.commit(name, 5, name, _NOW)
            assert ledger.find(name) == [Stored("a", name, 5, name, _NOW, name)]
            assert ledger.known(name) == ledger.find(name)[0]
        assert _used(ledger) == 25
        for stored in ledger.objects():
            assert ledger.remove(stored)
        _check(ledger)

    def test_a_provider_that_nobody_named_promises_nothing(self, ledger: Ledger) -> None:
        assert not ledger.reserve(_wanted("1", 0)._replace(provider="other"))
        ledger.refuse("other")
        assert not ledger.grow("1", 1)
        assert not ledger.remove(Stored("other", "k", 1, "", _NOW))
        assert [usage.provider for usage in ledger.usage()] == ["a", "b"]

    def test_what_was_passed_over_is_full_until_there_is_room_again(self, ledger: Ledger) -> None:
        ledger.reserve(_wanted("1", 900))
        ledger.refuse("a")
        assert [usage.is_full for usage in ledger.usage()] == [True, False]
        ledger.release("1")
        assert [usage.is_full for usage in ledger.usage()] == [False, False]

    def test_many_objects_are_told_page_by_page_while_they_go(self, ledger: Ledger) -> None:
        names = sorted(f"k{number}" for number in range(60))
        for name in names:
            ledger.reserve(_wanted(name, 1, key=name))
            ledger.commit(name, 1, "", _NOW)
        seen = []
        for stored in ledger.objects(_NOW + timedelta(seconds=1)):
            seen.append(stored.key)
            assert ledger.remove(stored)
        assert seen == names
        assert list(ledger.objects()) == []
        assert list(ledger.objects(_NOW)) == []
        _check(ledger)

    def test_of_many_that_want_the_last_bytes_only_those_that_fit_get_them(self, ledger: Ledger) -> None:
        others = [self.again() for _ in range(3)]
        start = threading.Barrier(12)

        def want(number: int) -> bool:
            books = [ledger, *others][number % 4]
            start.wait()
            got = books.reserve(_wanted(f"t{number}", 90, key=f"k{number}"))
            return got and books.commit(f"t{number}", 90, "", _NOW)

        with ThreadPoolExecutor(12) as pool:
            assert sum(pool.map(want, range(12))) == 11
        assert (_used(ledger), _reserved(ledger)) == (990, 0)
        _check(ledger)

    def test_of_two_that_settle_one_upload_one_does(self, ledger: Ledger) -> None:
        other = self.again()
        for number in range(20):
            token = f"t{number}"
            ledger.reserve(_wanted(token, 1, key=token))
            start = threading.Barrier(3)

            def commit(books: Ledger, token: str = token, start: threading.Barrier = start) -> bool:
                start.wait()
                return books.commit(token, 1, "", _NOW)

            def release(token: str = token, start: threading.Barrier = start) -> bool:
                start.wait()
                ledger.release(token)
                return False

            with ThreadPoolExecutor(3) as pool:
                done = [pool.submit(commit, ledger), pool.submit(commit, other), pool.submit(release)]
                assert sum(one.result() for one in done) == len(ledger.find(token)) <= 1
        assert _reserved(ledger) == 0
        _check(ledger)

    def test_of_many_that_remove_one_object_one_does(self, ledger: Ledger) -> None:
        other = self.again()
        for number in range(20):
            token = f"t{number}"
            ledger.reserve(_wanted(token, 7, key=token))
            ledger.commit(token, 7, "", _NOW)
            [stored] = ledger.find(token)
            start = threading.Barrier(4)

            def remove(books: Ledger, stored: Stored = stored, start: threading.Barrier = start) -> bool:
                start.wait()
                return books.remove(stored)

            with ThreadPoolExecutor(4) as pool:
                assert sum(pool.map(remove, [ledger, other, ledger, other])) == 1
        assert (_used(ledger), ledger.usage()[0].file_count) == (0, 0)
        _check(ledger)

    def test_what_an_overwrite_is_spared_must_be_there(self, ledger: Ledger) -> None:
        with pytest.raises(Busy):
            ledger.reserve(_wanted("1", 900)._replace(reserved=300))
        assert ledger.reserve(_wanted("2", 600))
        assert ledger.commit("2", 600, "", _NOW)
        with pytest.raises(Busy):
            ledger.reserve(_wanted("3", 900)._replace(reserved=200))
        assert (_used(ledger), _reserved(ledger)) == (600, 0)
        assert ledger.reserve(_wanted("4", 900)._replace(reserved=300))

    def test_a_key_that_is_reserved_is_not_removed(self, ledger: Ledger) -> None:
        ledger.reserve(_wanted("1", 600))
        ledger.commit("1", 600, "", _NOW)
        [stored] = ledger.find("k")
        assert ledger.reserve(_wanted("2", 700)._replace(reserved=100))
        with pytest.raises(Busy):
            ledger.remove(stored)
        assert ledger.find("k") == [stored]
        ledger.release("2")
        assert ledger.reserve(_wanted("3", 0)._replace(removes=True))
        with pytest.raises(Busy):
            ledger.reserve(_wanted("4", 1))
        assert [found.removes for found in ledger.overdue(_NOW + timedelta(days=1))] == [True]
        assert ledger.remove(stored, "3")
        assert not ledger.remove(stored, "3")
        assert (ledger.find("k"), _used(ledger), _reserved(ledger)) == ([], 0, 0)
        assert ledger.overdue(_NOW + timedelta(days=1)) == []
        _check(ledger)

    def test_what_nobody_is_at_work_on_is_overdue_and_its_name_is_free(self, ledger: Ledger) -> None:
        far = datetime.now(UTC) + timedelta(days=1)
        assert ledger.reserve(_wanted("1", 600)._replace(idempotency="mine", lease_until=far))
        ledger.suspect("1")
        ledger.suspect("gone")
        [late] = ledger.overdue(datetime.now(UTC) + timedelta(seconds=1))
        assert (late.token, late.idempotency) == ("1", "")
        assert _reserved(ledger) == 600
        assert ledger.reserve(_wanted("2", 10)._replace(provider="b", idempotency="mine"))
        assert ledger.commit("2", 10, "", _NOW)
        assert ledger.commit("1", 600, "", _NOW)
        assert ledger.known("mine") == ledger.find("k")[1 if ledger.find("k")[0].provider == "a" else 0]
        _check(ledger)

    def test_the_older_ones_of_a_key_are_told(self, ledger: Ledger) -> None:
        for token, provider, key in (("1", "a", "k"), ("2", "b", "k"), ("3", "a", "alone")):
            assert ledger.reserve(_wanted(token, 10, key=key)._replace(provider=provider))
            assert ledger.commit(token, 10, "", _NOW + timedelta(seconds=int(token)))
        assert [(stored.provider, stored.key) for stored in ledger.superseded()] == [("a", "k")]

    def test_a_removal_and_an_overwrite_of_one_key_at_once_never_exceed_the_quota(self, ledger: Ledger) -> None:
        other = self.again()
        for number in range(20):
            ledger.reserve(_wanted(f"{number}", 900))
            ledger.commit(f"{number}", 900, "", _NOW + timedelta(seconds=number))
            [stored] = ledger.find("k")
            start = threading.Barrier(2)

            def overwrite(number: int = number, start: threading.Barrier = start) -> bool:
                start.wait()
                try:
                    return ledger.reserve(_wanted(f"o{number}", 1000)._replace(reserved=100))
                except Busy:
                    return False

            def remove(stored: Stored = stored, start: threading.Barrier = start) -> bool:
                start.wait()
                try:
                    return other.remove(stored)
                except Busy:
                    return False

            with ThreadPoolExecutor(2) as pool:
                first, second = pool.submit(overwrite), pool.submit(remove)
                # Neither is fine too: each may have found the other at it.
                assert not (first.result() and second.result())
            assert not ledger.reserve(_wanted(f"p{number}", 901, key="other")) or not first.result()
            _check(ledger)
            for token in (f"o{number}", f"p{number}"):
                ledger.release(token)
            for left in ledger.find("k"):
                ledger.remove(left)


def _wanted(token: str, size: int, *, key: str = "k") -> Reservation:
    return Reservation(token, "a", key, size, size, "", _NOW + timedelta(minutes=10))


def _used(ledger: Ledger) -> int:
    return ledger.usage()[0].total_size_bytes


def _reserved(ledger: Ledger) -> int:
    return ledger.usage()[0].reserved_bytes


def _check(ledger: Ledger) -> None:
    """The counters equal the sums."""
    for usage in ledger.usage():
        sizes = [stored.size for stored in ledger.objects() if stored.provider == usage.provider]
        assert usage.total_size_bytes == sum(sizes) + usage.unowned_bytes
        assert usage.file_count == len(sizes) + usage.unowned_count
        assert usage.total_size_bytes + usage.reserved_bytes <= LIMITS[usage.provider].quota
