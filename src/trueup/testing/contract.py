"""The conformance suite of stores: every sentence of `trueup.stores.base` that a test can hold.

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self):
            yield MyStore(...)          # empty

Class attributes adapt it: `missing` makes a store whose root does not exist, `refused` names what the *server* refuses
although the store can ask for it, `large` is the size in bytes of the body that needs several parts.
"""

from __future__ import annotations

import hashlib
import random
import unicodedata
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import ClassVar

import pytest

from trueup import keys
from trueup.errors import BucketMissing, NotFound, PreconditionFailed, StoreError, Unaddressable
from trueup.stores.base import CHUNK, Entry, Features, Store

UNADDRESSABLE = ("", "/a", "a//b", "a/", ".", "..", "./a", "../a", "a/../b", "a/.", "a\0b", "\udcff", "a/\ud800")

ODD = (
    *("a b", "a  b", "a%20b", "a%2Fb", "a+b", "a#b?c&d=e", "a\\b", "~x", "it's", '"q"', "-dash", "a:b", "a*b", "<a>|b"),
    *(".hidden", "a..b", "...", "x.", "UPPER", "ü/ñ.txt", "日本語/の.txt", "😀", "a\tb", "a\nb", "a\x7fb", "$a{b}`c`"),
    *(" a", "a ", "\u00a0a", "d/ a", "d /a", "x" * 200, "/".join("y" * 40 for _ in range(12))),
)

ORDERED = ("!a", "Z", "a b", "a!b/c", "a-b", "a.b", "a/b", "a/b-c", "a/c/d", "a0", "é", "日本", "\ufeffx", "😀", "ｚ")

RACERS = 8


def content(
    store: Store, key: str, *, expect: Entry | None = None, offset: int = 0, length: int | None = None
) -> bytes:
    """What the store reads under a key, in one piece."""
    with store.read(key, expect=expect, offset=offset, length=length) as body:
        return b"".join(body)


def listing(store: Store, start: str = "", *, ordered: bool = True) -> list[Entry]:
    """A whole listing."""
    return list(store.list(start, ordered=ordered))


def md5_of(data: bytes) -> str:
    """Hex MD5."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _names(entries: list[Entry]) -> list[str]:
    return [entry.key for entry in entries]


def _broken(*pieces: bytes) -> Iterator[bytes]:
    yield from pieces
    raise ZeroDivisionError("the body broke")


def _race(action: Callable[[int], object]) -> list[object]:
    """Run `action` in eight threads at once; what each returned or raised (`StoreError` only)."""
    barrier = Barrier(RACERS)

    def run(number: int) -> object:
        barrier.wait()
        try:
            return action(number)
        except StoreError as error:
            return error

    with ThreadPoolExecutor(RACERS) as pool:
        return list(pool.map(run, range(RACERS)))


class StoreContract:
    """Subclass it, name the class `Test…`, and give it a `store` fixture that yields an empty store."""

    large: ClassVar[int] = 9 * CHUNK + 3
    """Bytes of a body that passes in many pieces, and to a cloud in several parts."""

    refused: ClassVar[frozenset[str]] = frozenset()
    """Odd names that this server is known to refuse: the store must say so with a `StoreError`."""

    missing: ClassVar[Callable[[], Store] | None] = None
    """Makes a store whose root (folder, bucket) does not exist; wrap it in `staticmethod`."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """An empty store."""
        raise NotImplementedError("give the subclass a `store` fixture")

    # What it is.

    def test_names_itself_and_its_features(self, store: Store) -> None:
        assert "://" in store.url
        assert isinstance(store.features, Features)
        assert store.features == store.features
        assert abs(store.clock_ahead_ns()) < 3_600_000_000_000

    def test_an_empty_store_exists_and_lists_nothing(self, store: Store) -> None:
        store.create()
        assert store.exists()
        assert listing(store) == []

    def test_a_missing_root_is_said_so(self) -> None:
        if self.missing is None:
            pytest.skip("no missing root to try")
        absent = self.missing()
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
        data = random.Random(1).randbytes(self.large)
        cuts = [0, 1, 70_000, CHUNK * 2, CHUNK * 5 + 1, len(data)]
        body = [data[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
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
            pytest.skip("this store dates its objects itself")
        assert abs(written.mtime_ns - 1_500_000_000_000_000_000) <= 2_000_000_000
        assert store.stat("a").mtime_ns == written.mtime_ns

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
                store.write("d/a", _broken(b"abc"))
            else:
                expected = ZeroDivisionError
                store.write("d/a", _broken(*[bytes(CHUNK)] * (self.large // CHUNK)), size=self.large)
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
        if not store.features.if_absent:
            pytest.skip("this store looks first, then acts")
        results = _race(lambda number: store.write("d/a", [b"%d" % number] * 1000, if_absent=True))
        won = [number for number, result in enumerate(results) if isinstance(result, Entry)]
        assert len(won) == 1, results
        assert all(isinstance(result, Entry | PreconditionFailed) for result in results)
        assert content(store, "d/a") == b"%d" % won[0] * 1000

    def test_of_eight_writers_that_want_one_version_one_wins(self, store: Store) -> None:
        if not store.features.if_match:
            pytest.skip("this store looks first, then acts")
        planned = store.write("a", [b"before"])
        results = _race(lambda number: store.write("a", [b"%d" % number] * 1000, if_match=planned))
        won = [number for number, result in enumerate(results) if isinstance(result, Entry)]
        assert len(won) == 1, results
        assert content(store, "a") == b"%d" % won[0] * 1000

    def test_many_threads_may_use_it_at_once(self, store: Store) -> None:
        def work(number: int) -> None:
            for turn in range(5):
                key = f"t{number % 2}/{number}/{turn}"
                store.write(key, [key.encode()] * 3)
                assert content(store, key) == key.encode() * 3
                store.delete(key) if turn % 2 else store.stat(key)

        assert _race(work) == [None] * RACERS
        assert len(listing(store)) == RACERS * 3

    # Listing.

    def test_a_listing_is_in_key_order_from_any_start(self, store: Store) -> None:
        wanted = sorted((key for key in ORDERED if store.unaddressable(key) is None), key=keys.normal)
        for key in reversed(wanted):
            store.write(key, [b"x"])
        assert _names(listing(store)) == _names(listing(store, ordered=False)) == wanted
        for start in [*wanted, "a", "a/", "a/b/", "a1", "b", "\U0010ffff"]:
            assert _names(listing(store, start)) == [key for key in wanted if keys.normal(key) >= keys.normal(start)]

    def test_a_listing_may_be_closed_early(self, store: Store) -> None:
        for number in range(5):
            store.write(f"{number}", [b"x"])
        entries = store.list()
        assert next(entries).key == "0"
        entries.close()
        assert len(listing(store)) == 5

    def test_names_of_our_own_are_hidden_but_can_be_used(self, store: Store) -> None:
        hidden = [".trueup/trash/run/a", "d/.trueup/x", "d/.trueup-tmp", ".trueup-x/y"]
        for key in [*hidden, "d/.trueupper", "d/a.trueup"]:
            store.write(key, [b"x"])
        assert _names(listing(store)) == ["d/.trueupper", "d/a.trueup"]
        for key in hidden:
            assert store.stat(key).size == 1
            assert content(store, key) == b"x"
            store.delete(key)
            with pytest.raises(NotFound):
                store.stat(key)

    @pytest.mark.parametrize("key", ODD)
    def test_an_odd_name_is_kept_exactly_or_refused(self, store: Store, key: str) -> None:
        store.write("a", [b"bystander"])
        if store.unaddressable(key) is not None or key in self.refused:
            with pytest.raises(StoreError):
                store.write(key, [b"x"])
            assert _names(listing(store)) == ["a"]
        else:
            store.write(key, [b"odd"], size=3)
            assert sorted(_names(listing(store))) == sorted(["a", key])
            assert content(store, key, expect=store.stat(key)) == b"odd"
            store.delete(key, if_match=store.stat(key))
        assert content(store, "a") == b"bystander"
        assert _names(listing(store)) == ["a"]

    @pytest.mark.parametrize("key", UNADDRESSABLE, ids=ascii)
    def test_an_unaddressable_name_is_never_asked_for(self, store: Store, key: str) -> None:
        store.write("a/b", [b"bystander"])
        assert store.unaddressable(key)
        with pytest.raises(Unaddressable):
            store.write(key, [b"x"])
        for target in (lambda: store.copy("a/b", key), lambda: store.move("a/b", key)):
            with pytest.raises(Unaddressable):
                target()
        with pytest.raises((Unaddressable, NotFound)):
            store.stat(key)
        with pytest.raises((Unaddressable, NotFound)):
            content(store, key)
        assert _names(listing(store)) == ["a/b"]
        assert content(store, "a/b") == b"bystander"

    def test_a_name_that_is_too_long_is_refused(self, store: Store) -> None:
        for key in ("x" * 5000, "é" * 600, "/".join(["z" * 50] * 100)):
            assert store.unaddressable(key)
            with pytest.raises(Unaddressable):
                store.write(key, [b"x"])
        assert listing(store) == []

    def test_letters_that_differ_in_case_are_two_names_where_the_store_says_so(self, store: Store) -> None:
        if store.features.folds_case:
            pytest.skip("this disk folds case")
        store.write("Case", [b"upper"])
        store.write("case", [b"lower"])
        assert (content(store, "Case"), content(store, "case")) == (b"upper", b"lower")

    def test_two_spellings_of_one_normal_form_are_both_listed(self, store: Store) -> None:
        if store.features.tree:
            pytest.skip("some disks hold only one of them")
        twins = [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")]
        for twin in twins:
            store.write(twin, [twin.encode()])
        assert sorted(_names(listing(store))) == sorted(twins)
        assert [content(store, twin) for twin in twins] == [twin.encode() for twin in twins]

    def test_a_file_and_a_folder_of_one_name(self, store: Store) -> None:
        store.write("x", [b"file"])
        if not store.features.tree:
            store.write("x/y", [b"below"])
            assert _names(listing(store)) == ["x", "x/y"]
            return
        store.write("d/y", [b"below"])
        for key in ("x/y", "x/y/z", "d"):
            with pytest.raises(StoreError):
                store.write(key, [b"no"])
        assert _names(listing(store)) == ["d/y", "x"]

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
        assert _names(listing(store)) == ["d/a", "e/f/b"]

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
        assert _names(listing(store)) == (["d/a"] if then == "replaced" else [])

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
        assert _names(listing(store)) == ["f/g/b"]

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
        assert _names(listing(store)) == ["a", "b"]

    def test_deleting_removes_one_object(self, store: Store) -> None:
        for key in ("d/a", "d/ab", "d/b"):
            store.write(key, [b"x"])
        store.delete("d/a")
        store.delete("d/a")
        store.delete("d")
        store.delete("never/there")
        assert _names(listing(store)) == ["d/ab", "d/b"]

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
