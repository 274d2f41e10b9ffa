"""The conformance suite of records of downloads: every sentence of `trueup.catalog.base.Downloads` that a test can
hold.

    class TestMyDownloads(DownloadsContract):
        @pytest.fixture
        def downloads(self):
            yield MyDownloads(...)               # empty
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from trueup.catalog.base import COMPLETED, FAILED, OURS, RUNNING, Download, Downloads
from trueup.errors import Busy

_URL: Final = "https://example.com/watch?v=$1"
_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)


class DownloadsContract:
    """Subclass it, name the class `Test…`, and give it a `downloads` fixture that yields empty records."""

    @pytest.fixture
    def downloads(self) -> Downloads:
        """No records yet."""
        raise NotImplementedError("give the subclass a `downloads` fixture")

    def test_it_begins_with_nothing(self, downloads: Downloads) -> None:
        assert downloads.ls() == []
        assert list(downloads.older(COMPLETED, _soon())) == []
        assert downloads.get("dl_1") is None
        assert downloads.latest(_URL) is None
        downloads.remove("dl_1")

    def test_a_record_is_running_until_its_object_is_there(self, downloads: Downloads) -> None:
        new = downloads.begin(_URL, abandoned_before=_LONG_AGO)
        assert (new.url, new.status, new.provider, new.key, new.size, new.error) == (_URL, RUNNING, "", "", 0, "")
        assert new.id.startswith(OURS)
        assert abs(datetime.now(UTC) - new.created_at) < timedelta(minutes=5)
        assert new.created_at == new.updated_at
        assert downloads.get(new.id) == new
        assert downloads.ls() == [new]
        assert downloads.latest(_URL) is None
        assert downloads.complete(new.id, provider="a", key="$key", size=5 << 30)
        done = downloads.latest(_URL)
        assert done is not None
        assert done == new._replace(
            status=COMPLETED, provider="a", key="$key", size=5 << 30, updated_at=done.updated_at
        )
        assert done.updated_at >= new.updated_at
        assert downloads.ls() == [done]

    def test_what_has_ended_stays_as_it_is(self, downloads: Downloads) -> None:
        for end in ("complete", "fail"):
            new = downloads.begin(_URL, abandoned_before=_LONG_AGO)
            if end == "complete":
                downloads.complete(new.id, provider="a", key="k", size=1)
            else:
                downloads.fail(new.id, "HTTP 404")
            ended = downloads.get(new.id)
            assert ended is not None
            assert (ended.status, ended.error, ended.key) == (
                (COMPLETED, "", "k") if end == "complete" else (FAILED, "HTTP 404", "")
            )
            assert not downloads.alive(new.id)
            assert not downloads.complete(new.id, provider="b", key="other", size=2)
            downloads.fail(new.id, "again")
            assert downloads.get(new.id) == ended
        assert not downloads.alive("dl_1")
        assert not downloads.complete("dl_1", provider="a", key="k", size=1)

    def test_one_url_is_fetched_by_one_at_a_time(self, downloads: Downloads) -> None:
        first = downloads.begin(_URL, abandoned_before=_LONG_AGO)
        with pytest.raises(Busy):
            downloads.begin(_URL, abandoned_before=_LONG_AGO)
        other = downloads.begin("https://example.com/another", abandoned_before=_LONG_AGO)
        assert {record.id for record in downloads.ls()} == {first.id, other.id}
        downloads.fail(first.id, "")
        again = downloads.begin(_URL, abandoned_before=_LONG_AGO)
        downloads.complete(again.id, provider="a", key="k", size=1)
        assert downloads.begin(_URL, abandoned_before=_LONG_AGO).status == RUNNING

    def test_of_many_that_begin_at_once_one_does(self, downloads: Downloads) -> None:
        start = threading.Barrier(8)

        def begin(_: int) -> bool:
            start.wait()
            try:
                downloads.begin(_URL, abandoned_before=_LONG_AGO)
            except Busy:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(begin, range(8))) == 1
        assert len(downloads.ls()) == 1

    def test_what_gives_no_sign_of_life_is_abandoned_when_another_one_begins(self, downloads: Downloads) -> None:
        first = downloads.begin(_URL, abandoned_before=_LONG_AGO)
        assert downloads.alive(first.id)
        second = downloads.begin(_URL, abandoned_before=_soon())
        assert second.id != first.id
        left = downloads.get(first.id)
        assert left is not None
        assert left.status == FAILED
        assert left.error
        assert not downloads.alive(first.id)
        assert not downloads.complete(first.id, provider="a", key="k", size=1)
        assert downloads.complete(second.id, provider="a", key="k", size=1)

    def test_a_sign_of_life_is_kept(self, downloads: Downloads) -> None:
        new = downloads.begin(_URL, abandoned_before=_LONG_AGO)
        _pass(new.updated_at)
        assert downloads.alive(new.id)
        found = downloads.get(new.id)
        assert found is not None
        assert found.updated_at > new.updated_at
        assert found == new._replace(updated_at=found.updated_at)

    def test_the_newest_come_first(self, downloads: Downloads) -> None:
        made = [self._completed(downloads) for _ in range(5)]
        assert downloads.ls() == made[::-1]
        assert downloads.ls(2) == made[:2:-1]
        assert downloads.latest(_URL) == made[-1]

    def test_the_oldest_of_a_status_are_told_first_while_they_go(self, downloads: Downloads) -> None:
        made = [self._completed(downloads) for _ in range(5)]
        downloads.begin(_URL, abandoned_before=_LONG_AGO)
        assert list(downloads.older(COMPLETED, made[3].updated_at)) == made[:3]
        seen = []
        for record in downloads.older(COMPLETED, _soon()):
            seen.append(record)
            downloads.remove(record.id)
        assert seen == made
        assert [record.status for record in downloads.ls()] == [RUNNING]
        assert downloads.get(made[0].id) is None
        assert downloads.latest(_URL) is None

    @staticmethod
    def _completed(downloads: Downloads) -> Download:
        """One more record, and the next one has a later time."""
        new = downloads.begin(_URL, abandoned_before=_LONG_AGO)
        downloads.complete(new.id, provider="a", key=new.id, size=1)
        found = downloads.get(new.id)
        assert found is not None
        _pass(found.updated_at)
        return found


def _soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


def _pass(at: datetime) -> None:
    """Wait until another time is kept than this one."""
    while datetime.now(UTC) < at + timedelta(milliseconds=2):
        pass
