"""The conformance suite of stores: every sentence of `trueup.stores.base` that a test can hold.

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self):
            yield MyStore(...)          # empty

What adapts it: `missing()` makes a store whose root does not exist, `refused` names what the *server* refuses although
the store can ask for it, `large` is the size in bytes of the body that needs several parts. For failures that show the
values, call `pytest.register_assert_rewrite("trueup.testing")` in a conftest.
"""

from __future__ import annotations

import random
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import ClassVar

import pytest

from trueup.errors import BucketMissing, NotFound, PreconditionFailed, StoreError
from trueup.stores.base import CHUNK, Entry, Features, Metadata, Store
from trueup.testing.listing import ListingContract
from trueup.testing.looking import RACERS, broken, content, listing, md5_of, names_of, race


class StoreContract(ListingContract):
    """Subclass it, name the class `Test…`, and give it a `store` fixture that yields an empty store."""

    large: ClassVar[int] = 9 * CHUNK + 3
    """Bytes of a body that passes in many pieces, and to a cloud in several parts."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """An empty store."""
        raise NotImplementedError("give the subclass a `store` fixture")

    def missing(self) -> Store | None:
        """A store whose root (folder, bucket) does not exist, or None where there is no such thing."""
        return None

    # What it is.

    def test_names_itself_and_its_features(self, store: Store) -> None:
        assert "://" in store.url
        assert isinstance(store.features, Features)
        assert store.features == store.features
        assert abs(store.clock_ahead_ns()) < 3_600_000_000_000

    def test_finding_out_whether_a_new_file_can_take_anothers_place_leaves_nothing(self, store: Store) -> None:
        store.create()
        guards = store.guards_absent()
        assert guards == store.guards_absent()
        assert guards <= store.features.if_absent
        assert listing(store) == []

    def test_an_empty_store_exists_and_lists_nothing(self, store: Store) -> None:
        store.create()
        assert store.exists()
        assert listing(store) == []

    def test_a_missing_root_is_said_so(self, store: Store) -> None:
        absent = self.missing()
        if absent is None:
            assert store.exists(), "a store whose root cannot be missing is always there"
            return
        assert not absent.exists()
        with pytest.raises((NotFound, BucketMissing)):
            listing(absent)
        with pytest.raises((NotFound, BucketMissing)):
            absent.stat("a")
        with pytest.raises((NotFound, BucketMissing)):
            absent.write("a", [b"x"])

    # Writing and seeing.

    @pytest.mark.parametrize("data", [b"", b"hello", bytes(range(256)) * 40], ids=["empty", "small", "binary"])
    def test_what_was_written_is_read_listed_and_shown(self, store: Store, data: bytes) -> None:
        written = store.write("d/a.bin", [data] if data else [], size=len(data), md5=md5_of(data))
        assert (written.key, written.size, written.md5, written.fault) == ("d/a.bin", len(data), md5_of(data), "")
        shown = store.stat("d/a.bin")
        assert listing(store) == [shown] or listing(store)[0].fingerprint == shown.fingerprint
        assert (shown.key, shown.size, shown.fault) == ("d/a.bin", len(data), "")
        assert shown.md5 in {"", md5_of(data)}
        assert shown.mtime_ns > 0
        assert written.fingerprint == shown.fingerprint != ""
        assert content(store, "d/a.bin", expect=shown) == content(store, "d/a.bin", expect=written) == data

    def test_a_large_body_streams_through_whole(self, store: Store) -> None:
        data = random.Random(1).randbytes(self.large)  # noqa: S311 - any bytes will do
        cuts = [0, 1, 70_000, CHUNK * 2, CHUNK * 5 + 1, len(data)]
        body = [data[a:b] for a, b in pairwise(cuts)]
        written = store.write("large", iter(body), size=len(data))
        assert (written.size, written.md5) == (len(data), md5_of(data))
        [seen] = listing(store)
        assert written.fingerprint == seen.fingerprint
        assert seen.size == len(data)
        with store.read("large", expect=written) as pieces:
            got = list(pieces)
        assert max(map(len, got)) <= 2 * CHUNK
        assert b"".join(got) == data
        assert content(store, "large", offset=CHUNK - 5, length=CHUNK + 10) == data[CHUNK - 5 : 2 * CHUNK + 5]

    def test_writing_replaces_and_moves_the_fingerprint(self, store: Store) -> None:
        before = store.write("a", [b"one"])
        after = store.write("a", [b"two"])
        assert content(store, "a") == b"two"
        assert before.fingerprint != after.fingerprint == store.stat("a").fingerprint

    def test_the_modification_time_is_kept_where_the_store_can(self, store: Store) -> None:
        written = store.write("a", [b"x"], mtime_ns=1_500_000_000_000_000_000)
        if not store.features.keeps_mtime:
            assert store.stat("a").mtime_ns != 1_500_000_000_000_000_000, "it does keep the time: say so in `features`"
            return
        assert abs(written.mtime_ns - 1_500_000_000_000_000_000) <= 2_000_000_000
        assert store.stat("a").mtime_ns == written.mtime_ns

    @pytest.mark.parametrize("parts", [1, 9], ids=["small", "large"])
    def test_what_is_said_of_an_object_is_kept_where_the_store_can(self, store: Store, parts: int) -> None:
        said = Metadata(
            mtime_ns=1_500_000_000_123_456_789,
            content_type="text/x-odd",
            user={"colour": "blue"},
        )
        written = store.write("a.html", [bytes(CHUNK)] * parts, size=CHUNK * parts, metadata=said)
        plain = store.write("b.html", [b"x"])
        if not store.features.metadata:
            assert store.metadata("a.html") == store.metadata("a.html", expect=written) == Metadata()
            return
        assert store.metadata("a.html", expect=written) == said
        assert not store.metadata("b.html").user
        assert store.metadata("b.html").mtime_ns is None
        store.copy("a.html", "c.html")
        assert store.metadata("c.html") == said
        for wanted in (said._replace(content_disposition="inline"), said._replace(content_encoding="zstd")):
            try:
                store.write("d.html", [bytes(CHUNK)] * parts, size=CHUNK * parts, metadata=wanted)
            except StoreError:  # it cannot, and says so
                with pytest.raises(NotFound):
                    store.stat("d.html")
                continue
            assert store.metadata("d.html") == wanted
            store.delete("d.html")
        store.write("b.html", [b"y"])
        with pytest.raises(PreconditionFailed):
            store.metadata("b.html", expect=plain)
        with pytest.raises(NotFound):
            store.metadata("absent")

    @pytest.mark.parametrize("before", [None, b"old"], ids=["new", "replacing"])
    @pytest.mark.parametrize("wrong", ["short", "long", "md5", "body", "late"])
    def test_a_failed_write_publishes_nothing(self, store: Store, before: bytes | None, wrong: str) -> None:
        if before is not None:
            store.write("d/a", [before])
        expected: type[Exception] = StoreError
        with pytest.raises(Exception) as raised:  # noqa: PT011, PT012 - the type is checked below
            if wrong == "short":
                store.write("d/a", [b"abc"], size=4)
            elif wrong == "long":
                store.write("d/a", [b"abc", b"de"], size=4)
            elif wrong == "md5":
                store.write("d/a", [b"abc"], md5=md5_of(b"xyz"))
            elif wrong == "body":
                expected = ZeroDivisionError
                store.write("d/a", broken(b"abc"))
            else:
                expected = ZeroDivisionError
                store.write("d/a", broken(*[bytes(CHUNK)] * (self.large // CHUNK)), size=self.large)
        assert isinstance(raised.value, expected)
        if before is None:
            assert listing(store) == []
            with pytest.raises(NotFound):
                store.stat("d/a")
        else:
            assert content(store, "d/a") == before
        store.write("d/a", [b"fine"])
        assert content(store, "d/a") == b"fine"

    # Conditions.

    def test_if_absent_never_replaces(self, store: Store) -> None:
        store.write("d/a", [b"one"], if_absent=True)
        with pytest.raises(PreconditionFailed, match="d/a"):
            store.write("d/a", [b"two"], if_absent=True)
        assert content(store, "d/a") == b"one"

    def test_if_match_replaces_only_the_planned_version(self, store: Store) -> None:
        first = store.write("a", [b"one"])
        [listed] = listing(store)
        second = store.write("a", [b"two!"], if_match=listed)
        for stale in (first, listed):
            with pytest.raises(PreconditionFailed, match="a"):
                store.write("a", [b"three"], if_match=stale)
        assert content(store, "a") == b"two!"
        store.write("a", [b"four"], if_match=second)
        store.delete("a")
        with pytest.raises(PreconditionFailed):
            store.write("a", [b"five"], if_match=second)
        assert listing(store) == []

    def test_of_eight_writers_that_want_it_absent_one_wins(self, store: Store) -> None:
        results = race(lambda number: store.write("d/a", [b"%d" % number] * 1000, if_absent=True))
        self._check_race(store, "d/a", results, atomic=store.features.if_absent)

    def test_of_eight_writers_that_want_one_version_one_wins(self, store: Store) -> None:
        planned = store.write("a", [b"before"])
        results = race(lambda number: store.write("a", [b"%d" % number] * 1000, if_match=planned))
        self._check_race(store, "a", results, atomic=store.features.if_match)

    def _check_race(self, store: Store, key: str, results: list[object], *, atomic: bool) -> None:
        """One writer wins; where the store looks first and then acts, more may, and each of them was whole."""
        won = [number for number, result in enumerate(results) if isinstance(result, Entry)]
        assert len(won) == 1 if atomic else won, results
        assert all(isinstance(result, Entry | PreconditionFailed) for result in results), results
        assert content(store, key) in {b"%d" % number * 1000 for number in won}

    def test_many_threads_may_use_it_at_once(self, store: Store) -> None:
        def work(number: int) -> None:
            for turn in range(5):
                key = f"t{number % 2}/{number}/{turn}"
                store.write(key, [key.encode()] * 3)
                assert content(store, key) == key.encode() * 3
                store.delete(key) if turn % 2 else store.stat(key)

        assert race(work) == [None] * RACERS
        assert len(listing(store)) == RACERS * 3

    # Looking and reading.

    def test_what_is_not_there_is_not_found(self, store: Store) -> None:
        store.write("d/a", [b"x"])
        for key in ("b", "d", "d/b", "d/a/b", "e/f"):
            with pytest.raises(NotFound, match=key):
                store.stat(key)
            with pytest.raises(NotFound, match=key):
                content(store, key)

    def test_a_range_is_read_exactly(self, store: Store) -> None:
        data = bytes(range(200))
        entry = store.write("a", [data])
        for offset, length in [(0, None), (10, None), (0, 10), (10, 20), (190, 50), (199, 1), (200, None), (0, 0)]:
            end = None if length is None else offset + length
            assert content(store, "a", expect=entry, offset=offset, length=length) == data[offset:end]

    def test_reading_expects_the_planned_version(self, store: Store) -> None:
        planned = [store.write("a", [b"one"]), store.stat("a"), listing(store)[0]]
        store.write("a", [b"two"])
        for entry in planned:
            with pytest.raises(PreconditionFailed, match="a"):
                content(store, "a", expect=entry)
        store.delete("a")
        with pytest.raises((PreconditionFailed, NotFound)):
            content(store, "a", expect=planned[0])

    def test_a_read_may_be_left_early(self, store: Store) -> None:
        store.write("a", [bytes(3 * CHUNK)])
        with store.read("a") as body:
            assert next(body)
        store.write("a", [b"next"])
        assert content(store, "a") == b"next"

    # Copying, keeping, moving, deleting.

    def test_a_copy_is_independent(self, store: Store) -> None:
        source = store.write("d/a", [b"one"])
        store.write("e/f/b", [b"old"])
        copied = store.copy("d/a", "e/f/b", if_match=source)
        assert (copied.key, copied.size) == ("e/f/b", 3)
        assert copied.fingerprint in {"", store.stat("e/f/b").fingerprint}
        store.write("d/a", [b"two!"])
        assert (content(store, "d/a"), content(store, "e/f/b")) == (b"two!", b"one")
        with pytest.raises(PreconditionFailed):
            store.copy("d/a", "c", if_match=source)
        with pytest.raises(NotFound):
            store.copy("nothing", "c")
        assert names_of(listing(store)) == ["d/a", "e/f/b"]

    @pytest.mark.parametrize("then", ["replaced", "deleted"])
    def test_what_was_preserved_outlives_its_source(self, store: Store, then: str) -> None:
        store.write("d/a", [b"one"])
        [planned] = listing(store)
        store.preserve("d/a", ".trueup/trash/run/d/a", if_match=planned)
        assert content(store, "d/a") == b"one"
        # Keeping it is our own doing: the plan made before still holds.
        if then == "replaced":
            store.write("d/a", [b"two!"], if_match=planned)
        else:
            store.delete("d/a", if_match=planned)
        assert content(store, ".trueup/trash/run/d/a") == b"one"
        assert names_of(listing(store)) == (["d/a"] if then == "replaced" else [])

    def test_only_the_planned_version_is_preserved(self, store: Store) -> None:
        planned = store.write("a", [b"one"])
        store.write("a", [b"two!"])
        with pytest.raises(PreconditionFailed):
            store.preserve("a", ".trueup/trash/run/a", if_match=planned)
        with pytest.raises(NotFound):
            store.stat(".trueup/trash/run/a")
        with pytest.raises(NotFound):
            store.preserve("nothing", ".trueup/trash/run/nothing")

    def test_a_move_takes_the_content_along(self, store: Store) -> None:
        source = store.write("d/e/a", [b"one"])
        moved = store.move("d/e/a", "f/g/b", if_match=source)
        assert (moved.key, moved.size) == ("f/g/b", 3)
        assert moved.fingerprint in {"", store.stat("f/g/b").fingerprint}
        assert content(store, "f/g/b") == b"one"
        assert names_of(listing(store)) == ["f/g/b"]

    def test_a_move_replaces_nothing_and_moves_only_the_planned_version(self, store: Store) -> None:
        source = store.write("a", [b"one"])
        store.write("b", [b"other"])
        with pytest.raises(PreconditionFailed, match="b"):
            store.move("a", "b", if_match=source)
        store.write("a", [b"two!"])
        with pytest.raises(PreconditionFailed, match="a"):
            store.move("a", "c", if_match=source)
        with pytest.raises(NotFound, match="nothing"):
            store.move("nothing", "c")
        assert [content(store, key) for key in ("a", "b")] == [b"two!", b"other"]
        assert names_of(listing(store)) == ["a", "b"]

    def test_deleting_removes_one_object(self, store: Store) -> None:
        for key in ("d/a", "d/ab", "d/b"):
            store.write(key, [b"x"])
        store.delete("d/a")
        store.delete("d/a")
        store.delete("d")
        store.delete("never/there")
        assert names_of(listing(store)) == ["d/ab", "d/b"]

    def test_only_the_planned_version_is_deleted(self, store: Store) -> None:
        stale = store.write("a", [b"one"])
        fresh = store.write("a", [b"two"])
        with pytest.raises(PreconditionFailed, match="a"):
            store.delete("a", if_match=stale)
        assert content(store, "a") == b"two"
        store.delete("a", if_match=fresh)
        with pytest.raises(NotFound, match="a"):
            store.delete("a", if_match=fresh)

    def test_flushing_and_discarding_need_nothing_to_be_there(self, store: Store) -> None:
        store.write("d/a", [b"x"], temporary="one")
        store.flush(["d/a", "d/gone", "never/there"])
        store.discard("d/a", "one")
        store.discard("never/there", "two")
        assert content(store, "d/a") == b"x"

    def test_a_signed_url_reads_the_object(self, store: Store) -> None:
        store.write("d/a b.txt", [b"signed"])
        if not store.features.sign:
            with pytest.raises(StoreError):
                store.sign("d/a b.txt", ttl=timedelta(minutes=5))
            return
        url = store.sign("d/a b.txt", ttl=timedelta(minutes=5))
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own URL
            assert answer.read() == b"signed"
