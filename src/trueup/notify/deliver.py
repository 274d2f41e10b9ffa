"""Sending what waits in the outbox: to each receiver at least once, again and again with growing pauses.

Each address and each webhook is a receiver of its own: one that is gone for good does not let the others hear of it for
ever.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
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
    for message in outbox.due(datetime.now(UTC)):
        delivered, problems = send(
            to, message.kind, message.payload, message_id=message.id, at=message.created_at, but=message.delivered
        )
        if problems:
            done.problems += problems
            outbox.failed(message.id, "; ".join(problems), datetime.now(UTC) + pause(message), delivered)
        else:
            outbox.sent(message.id)
            done.sent += 1
    return done


def send(
    to: Alerts, kind: str, payload: Mapping[str, Any], *, message_id: str, at: datetime, but: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Tell everybody but those who have it; who has it then, and what went wrong."""
    delivered, problems = list(but), []
    if to.email is not None and (wanting := [one for one in to.email.to if receiver(one) not in but]):
        try:
            refused = mail.send(to.email, text.of(kind, payload), wanting, message_id=message_id)
        except StoreError as error:
            problems.append(str(error))
        else:
            problems += refused.values()
            delivered += [receiver(one) for one in wanting if one not in refused]
    for hook in to.webhooks:
        if receiver(hook.url) in but:
            continue
        try:
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
