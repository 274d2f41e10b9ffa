"""Sending what waits in the outbox: to each receiver at least once, again and again with growing pauses.

Each address and each webhook is a receiver of its own: one that is gone for good does not let the others hear of it for
ever.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from trueup.catalog.base import Message, Outbox
from trueup.config import Settings, load
from trueup.errors import ConfigError, StoreError
from trueup.notify import mail, text, webhook
from trueup.notify.config import Alerts, alerts

_GB: Final = 1 << 30
_PAUSES: Final = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=3))
"""After the first failure, the second and so on; the last one from then on."""
_LONGEST: Final = 30.0
"""Seconds for one server in one round, before its last message."""


@dataclass(slots=True)
class Delivered:
    """What came of a round."""

    sent: int = 0
    problems: list[str] = field(default_factory=list)


def deliver(outbox: Outbox, to: Alerts) -> Delivered:
    """Send what is due. With nobody to be told, everything stays where it is."""
    done = Delivered()
    if to.email is None and not to.webhooks:
        return done
    everybody = {receiver(place) for place in (*(to.email.to if to.email else ()), *(hook.url for hook in to.webhooks))}
    turns = _Turns()
    for message in outbox.due(datetime.now(UTC)):
        delivered, problems = send(
            to,
            message.kind,
            message.payload,
            message_id=message.id,
            at=message.created_at,
            but=message.delivered,
            turns=turns,
        )
        done.problems += problems
        if everybody <= {*delivered}:
            outbox.sent(message.id)
            done.sent += 1
        elif problems:
            outbox.failed(message.id, "; ".join(problems), datetime.now(UTC) + pause(message), delivered)
        elif len(delivered) > len(message.delivered):
            outbox.failed(message.id, "not everybody was asked", datetime.now(UTC), delivered)
    return done


class _Turns:
    """Who is asked in a round: nobody again who failed in it, and nobody for long. What waits for them stays due, and
    others do not wait with it."""

    def __init__(self) -> None:
        self._left: defaultdict[str, float] = defaultdict(lambda: _LONGEST)

    def has(self, place: str) -> bool:
        """Whether somebody is asked still."""
        return self._left[place] > 0

    @contextmanager
    def of(self, place: str) -> Iterator[None]:
        """Ask somebody."""
        began = time.monotonic()
        try:
            yield
        except StoreError:
            self._left[place] = 0
            raise
        self._left[place] -= time.monotonic() - began


def send(
    to: Alerts,
    kind: str,
    payload: Mapping[str, Any],
    *,
    message_id: str,
    at: datetime,
    but: Sequence[str] = (),
    turns: _Turns | None = None,
) -> tuple[list[str], list[str]]:
    """Tell everybody but those who have it and those who had their turn; who has it then, and what went wrong."""
    turns = turns or _Turns()
    delivered, problems = list(but), []
    if to.email is not None and turns.has(to.email.host):
        wanting = [one for one in to.email.to if receiver(one) not in but]
        try:
            with turns.of(to.email.host):
                refused = mail.send(to.email, text.of(kind, payload), wanting, message_id=message_id) if wanting else {}
        except StoreError as error:
            problems.append(str(error))
        else:
            problems += refused.values()
            delivered += [receiver(one) for one in wanting if one not in refused]
    for hook in to.webhooks:
        if receiver(hook.url) in but or not turns.has(hook.url):
            continue
        try:
            with turns.of(hook.url):
                webhook.post(hook, message_id=message_id, kind=kind, at=at, data=payload)
        except StoreError as error:
            problems.append(str(error))
        else:
            delivered.append(receiver(hook.url))
    return delivered, problems


def receiver(place: str) -> str:
    """What an address or a URL is called in the outbox. Not itself: a URL may hold a secret."""
    return hashlib.sha256(place.encode()).hexdigest()[:16]


def send_storage_alert(provider: str, used_gb: float, limit_gb: float, *, settings: Settings | None = None) -> None:
    """Tell everybody in the settings, now, that a provider is full; GB are 2^30 bytes. Raises `ConfigError` when
    nobody is to be told, and `StoreError` when somebody could not be."""
    to = alerts(settings or load())
    if to.email is None and not to.webhooks:
        raise ConfigError("nobody is to be told of alerts", cure="Write [alerts.email] or [[alerts.webhooks]]")
    payload = {"provider": provider, "used_bytes": int(used_gb * _GB), "limit_bytes": int(limit_gb * _GB)}
    _, problems = send(to, "pool.full", payload, message_id=f"msg_{uuid.uuid4().hex}", at=datetime.now(UTC))
    if problems:
        raise StoreError("; ".join(problems))


def pause(message: Message) -> timedelta:
    """How long to wait after one more failure."""
    return _PAUSES[min(message.attempts, len(_PAUSES) - 1)]
