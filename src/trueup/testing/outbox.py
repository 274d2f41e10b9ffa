"""The conformance suite of outboxes: every sentence of `trueup.catalog.base.Outbox` that a test can hold, and when a
ledger puts something there.

    class TestMyOutbox(OutboxContract):
        @pytest.fixture
        def catalog(self):
            yield my_catalog(..., ALERTED)       # empty
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from trueup.catalog.base import Catalog, Ledger, Limits, Message, Reservation

ALERTED: Final = {"$a": Limits(quota=1000, full_below=100, rearm_below=500), "b": Limits(quota=1000, full_below=100)}
"""What the catalog under test is to be opened with."""


class OutboxContract:
    """Subclass it, name the class `Test…`, and give it a `catalog` fixture that yields an empty one of `ALERTED`."""

    @pytest.fixture
    def catalog(self) -> Catalog:
        """A catalog with nothing in it."""
        raise NotImplementedError("give the subclass a `catalog` fixture")

    def test_what_becomes_full_is_told_once_with_its_numbers(self, catalog: Catalog) -> None:
        _put(catalog.ledger, "1", 890)
        assert _waiting(catalog) == []
        _put(catalog.ledger, "2", 30)
        [message] = catalog.outbox.due(_soon())
        facts = {"provider": "$a", "used_bytes": 920, "limit_bytes": 1000, "file_count": 1}
        assert (message.kind, dict(message.payload), message.attempts) == ("pool.full", facts, 0)
        assert abs(datetime.now(UTC) - message.created_at) < timedelta(minutes=5)
        assert catalog.outbox.due(message.created_at - timedelta(seconds=1)) == []
        assert not _put(catalog.ledger, "3", 200)
        _put(catalog.ledger, "4", 20)
        catalog.ledger.refuse("$a")
        assert _waiting(catalog) == [message]

    def test_a_refusal_is_told_once_however_empty_it_is(self, catalog: Catalog) -> None:
        assert not _put(catalog.ledger, "1", 1001)
        for _ in range(4):
            catalog.ledger.refuse("$a")
        assert [message.payload["used_bytes"] for message in _waiting(catalog)] == [0]
        assert [usage.is_full for usage in catalog.ledger.usage()] == [True, False]

    def test_an_upload_of_unknown_length_that_fills_it_is_told(self, catalog: Catalog) -> None:
        catalog.ledger.reserve(Reservation("1", "$a", "1", 0, 0, "", _soon()))
        assert catalog.ledger.grow("1", 950)
        assert [message.payload["used_bytes"] for message in _waiting(catalog)] == [950]

    def test_it_is_told_again_only_after_it_was_emptied_well(self, catalog: Catalog) -> None:
        for key in ("1", "2"):
            _put(catalog.ledger, key, 450)
        assert len(_waiting(catalog)) == 0
        _put(catalog.ledger, "3", 60)
        assert len(_waiting(catalog)) == 1
        _remove(catalog.ledger, "3")
        assert not catalog.ledger.usage()[0].is_full
        _put(catalog.ledger, "3", 60)
        assert len(_waiting(catalog)) == 1
        _remove(catalog.ledger, "3")
        _remove(catalog.ledger, "2")
        _put(catalog.ledger, "4", 500)
        assert len(_waiting(catalog)) == 2

    def test_without_a_level_to_fall_below_it_is_told_once(self, catalog: Catalog) -> None:
        for _ in range(3):
            _put(catalog.ledger, "1", 1000, provider="b")
            _remove(catalog.ledger, "1")
        assert [message.payload["provider"] for message in _waiting(catalog)] == ["b"]

    def test_what_was_sent_waits_no_longer(self, catalog: Catalog) -> None:
        catalog.ledger.refuse("$a")
        catalog.ledger.refuse("b")
        first, second = _waiting(catalog)
        assert first.id != second.id
        assert first.created_at <= second.created_at
        catalog.outbox.sent(first.id)
        catalog.outbox.sent(first.id)
        assert _waiting(catalog) == [second]

    def test_what_could_not_be_sent_is_due_again_when_it_was_said_and_knows_who_has_it(self, catalog: Catalog) -> None:
        catalog.ledger.refuse("$a")
        [message] = _waiting(catalog)
        assert message.delivered == ()
        for attempts, delivered in ((1, ()), (2, ("$one", "two")), (3, ("$one", "two", "three"))):
            again = _soon() + timedelta(hours=attempts)
            catalog.outbox.failed(message.id, "$error: 451", again, delivered)
            assert catalog.outbox.due(again - timedelta(seconds=1)) == []
            assert catalog.outbox.due(again) == [message._replace(attempts=attempts, delivered=delivered)]
        catalog.outbox.failed("msg_1", "no such message", _soon(), [])
        assert len(_waiting(catalog)) == 1


def _put(ledger: Ledger, key: str, size: int, *, provider: str = "$a") -> bool:
    return ledger.reserve(Reservation(key, provider, key, size, size, "", _soon())) and ledger.commit(
        key, size, "", datetime(2026, 11, 21, tzinfo=UTC)
    )


def _remove(ledger: Ledger, key: str) -> None:
    [stored] = ledger.find(key)
    assert ledger.remove(stored)


def _soon() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)


def _waiting(catalog: Catalog) -> list[Message]:
    return catalog.outbox.due(_soon() + timedelta(days=1))
