"""Listings of which several ranges are asked for at once: whole, in order, and never taken for whole when they are not.

Pages are short here, and each takes its time, as pages do that come from far away.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.servers.faulty_s3 import FaultyS3, Request
from tests.stores.test_cloud_listing import opened, whole
from tests.stores.test_ranges import SHAPES
from trueup.errors import ListingUnfinished
from trueup.stores.base import OutOfOrder
from trueup.stores.cloud import CloudStore

PAGE = 10


@pytest.fixture
def far(faulty_s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> FaultyS3:
    """A server far away, with 60 pages."""
    monkeypatch.setattr("trueup.stores.listing.PAGE", PAGE)
    monkeypatch.setenv("TOKIO_WORKER_THREADS", "1")  # one that waits for the GIL while it is held ends everything
    faulty_s3.faults.page_size = PAGE
    faulty_s3.faults.delay = 0.04
    faulty_s3.objects.update({f"p/{number:05}": b"x" for number in range(60 * PAGE)})
    return faulty_s3


def sound(server: FaultyS3, **options: str) -> CloudStore:
    return opened(server, "p", byte_ordered="true", **options)


def expected(server: FaultyS3) -> list[str]:
    return sorted(key.removeprefix("p/") for key in server.objects if key.startswith("p/"))


def begun(server: FaultyS3) -> list[str]:
    """The keys after which listings were begun."""
    return [request.start for request in server.requests if request.page == 1 and request.start]


def test_a_long_listing_from_far_away_is_asked_for_in_several_ranges(far: FaultyS3) -> None:
    assert [entry.key for entry in sound(far).list()] == expected(far)
    assert len(begun(far)) > 6
    assert len(far.requests) < 60 * 1.6


def test_few_listings_are_begun_beyond_the_last_key(far: FaultyS3) -> None:
    last = max(far.objects)
    far.faults.before = lambda request: time.sleep(0.2) if request.start and request.start > last else None
    assert [entry.key for entry in sound(far).list()] == expected(far)
    assert len([start for start in begun(far) if start > last]) <= 16


def test_who_begins_at_a_key_asks_for_nothing_beyond_the_next_pages(far: FaultyS3) -> None:
    with closing(sound(far).list("00000")) as entries:
        next(entries)
    assert len(begun(far)) == 1


def test_a_bucket_of_many_folders_is_asked_once_for_them(far: FaultyS3) -> None:
    far.objects.update({f"{number:03}/x": b"" for number in range(6 * PAGE)})
    assert [entry.key for entry in opened(far, byte_ordered="true").list()] == sorted(far.objects)
    assert len(begun(far)) > 6
    assert len([request for request in far.requests if "delimiter" in request.query]) == 1


def test_a_few_pages_cost_no_request_more(far: FaultyS3) -> None:
    for key in list(far.objects)[4 * PAGE - 1 :]:
        del far.objects[key]
    assert [entry.key for entry in sound(far).list()] == expected(far)
    ranges = [(request.method, request.query) for request in far.requests]
    far.requests.clear()
    assert [entry.key for entry in opened(far, "p").list()] == expected(far)
    assert ranges == [(request.method, request.query) for request in far.requests]


def test_pages_that_come_at_once_are_asked_for_one_after_the_other(far: FaultyS3) -> None:
    far.faults.delay = 0.0
    far.faults.page_size = 1000  # one journey in a hundred pages

    def is_plain() -> bool:
        far.requests.clear()
        assert [entry.key for entry in sound(far).list()] == expected(far)
        return len(begun(far)) == 1  # the look at the end

    # To a process that gets no turn on a busy machine, every server seems far away; not ten times in a row.
    assert any(is_plain() for _ in range(10))


@pytest.mark.parametrize("options", [{"byte_ordered": "false"}, {"concurrency": "1"}])
def test_where_it_may_not_be_there_is_one_listing(far: FaultyS3, options: dict[str, str]) -> None:
    assert [entry.key for entry in opened(far, "p", **{"byte_ordered": "true", **options}).list()] == expected(far)
    assert len(begun(far)) == 1


@pytest.mark.parametrize("shape", ["numbers", "dates", "99 of 100 in one folder", "not ASCII", "words"])
def test_every_key_comes_once_and_in_order(far: FaultyS3, shape: str) -> None:
    chance = random.Random(shape)
    far.objects.clear()
    names = SHAPES[shape](chance)
    far.objects.update({f"p/{name}": b"" for name in chance.sample(names, 80 * PAGE)})
    assert [entry.key for entry in sound(far, timeout="9s").list()] == expected(far)
    start = chance.choice(expected(far)[: 20 * PAGE])
    assert [entry.key for entry in sound(far, timeout="9s").list(start)] == [
        key for key in expected(far) if key >= start
    ]


@pytest.mark.parametrize("first", ["/o", "/p/00000"], ids=["another name", "a twin"])
def test_names_that_begin_with_a_slash_are_never_taken_for_their_twins(far: FaultyS3, first: str) -> None:
    far.objects.update({f"/p/{number:05}": b"y" for number in range(1, 8 * PAGE)})
    far.objects.update({f"-{number}": b"x" for number in range(6 * PAGE)})
    far.objects[first] = b"y"
    names = [name for name in far.objects if name[0] != "/"]
    store = opened(far, byte_ordered="true", timeout="9s")
    if first == "/o":
        assert whole(store) == sorted([*names, "/"])
        assert len(begun(far)) > 4
    else:
        with pytest.raises(ListingUnfinished):
            whole(store)


def test_what_comes_and_goes_meanwhile_harms_nothing_else(far: FaultyS3) -> None:
    chance = random.Random(5)
    stay = expected(far)[::3]
    loose = [f"p/{key}" for key in expected(far) if key not in stay]

    def change(_: Request) -> None:
        with far.lock:
            for key in chance.sample(loose, 5):
                if far.objects.pop(key, None) is None:
                    far.objects[key] = b"y"
                far.objects[f"{key}-{chance.randrange(9)}"] = b"z"

    far.faults.before = change
    found = [entry.key for entry in sound(far).list()]
    assert found == sorted({*found})
    assert {*stay} <= {*found}
    assert len(begun(far)) > 4


def spoilt(number: int, page: int, fault: str) -> tuple[Callable[[Request], str], list[str]]:
    """Spoils, for good, one page of the listing that was begun as the `number`th with a start."""
    starts: list[str] = []
    hit: list[str] = []

    def spoil(request: Request) -> str:
        if request.start and request.start not in starts:
            starts.append(request.start)
        if not request.start or starts.index(request.start) != number or request.page != page:
            return ""
        hit.append(request.start)
        return fault

    return spoil, hit


@pytest.mark.parametrize(("number", "page"), [(0, 2), (2, 2), (3, 3)])
@pytest.mark.parametrize(
    "fault", ["500", "html", "repeat-token", "no-token", "reset", "empty-body", "repeat-keys", "unsorted", "hang"]
)
def test_a_range_that_breaks_off_is_never_taken_for_a_whole_one(
    far: FaultyS3, fault: str, number: int, page: int
) -> None:
    far.faults.spoil, hit = spoilt(number, page, fault)
    try:
        found = whole(sound(far, retries="0"))
    except ListingUnfinished as error:
        assert "s3://bucket@" in str(error)  # noqa: PT017 - one outcome of two
        assert fault != "unsorted"
    else:
        # What a client takes for an end is found out by the range after it; and what fails when much is asked for at
        # once is asked for again, one page after the other.
        assert found == expected(far)
    assert hit


def test_ranges_of_a_server_with_short_pages_are_no_stall(far: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pages fill none of ours for longer than the parent waits."""
    monkeypatch.setattr("trueup.stores.listing._SLACK", 1.0)  # patience of 3 s, the start included
    monkeypatch.setattr("trueup.stores.listing.PAGE", 100)

    def short(request: Request) -> None:
        far.faults.page_size = 1 if request.start else 100

    far.faults.before = short
    far.faults.delay = 0.09
    for key in list(far.objects)[460:]:
        del far.objects[key]
    assert [entry.key for entry in sound(far, retries="0", timeout="2s").list()] == expected(far)
    assert begun(far)


def test_a_server_that_begins_elsewhere_than_told_is_listed_plainly(far: FaultyS3) -> None:
    far.faults.starts = False
    assert [entry.key for entry in sound(far).list()] == expected(far)
    assert len(begun(far)) < 12


def test_a_server_with_another_order_is_noticed(far: FaultyS3) -> None:
    """The order of paths, which SeaweedFS has: the first page that tells comes late."""
    far.faults.order = lambda key: key.split("/")
    far.objects.update({f"p/00{number}{mark}": b"x" for number in range(300, 420) for mark in ("-b", "/x", ".c")})
    with pytest.raises(OutOfOrder):
        list(sound(far).list())
    assert whole(sound(far)) == expected(far)
