"""Sending what waits in the outbox: at least once, again and again with growing pauses."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
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
        problems = send(to, message.kind, message.payload, message_id=message.id, at=message.created_at)
        if problems:
            done.problems += problems
            outbox.failed(message.id, "; ".join(problems), datetime.now(UTC) + pause(message))
        else:
            outbox.sent(message.id)
            done.sent += 1
    return done


def send(to: Alerts, kind: str, payload: Mapping[str, Any], *, message_id: str, at: datetime) -> list[str]:
    """Tell everybody once; what went wrong. When it is tried again, those who were told hear it twice, under one id."""
    problems = []
    if to.email is not None:
        try:
            mail.send(to.email, text.of(kind, payload), message_id=message_id)
        except StoreError as error:
            problems.append(str(error))
    for hook in to.webhooks:
        try:
            webhook.post(hook, message_id=message_id, kind=kind, at=at, data=payload)
        except StoreError as error:
            problems.append(str(error))
    return problems


def send_storage_alert(provider: str, used_gb: float, limit_gb: float, *, settings: Settings | None = None) -> None:
    """Tell everybody in the settings, now, that a provider is full; GB are 2^30 bytes. Raises `ConfigError` when
    nobody is to be told, and `StoreError` when somebody could not be."""
    to = alerts(settings or load())
    if to.email is None and not to.webhooks:
        raise ConfigError("nobody is to be told of alerts", cure="Write [alerts.email] or [[alerts.webhooks]]")
    payload = {"provider": provider, "used_bytes": int(used_gb * _GB), "limit_bytes": int(limit_gb * _GB)}
    problems = send(to, "pool.full", payload, message_id=f"msg_{uuid.uuid4().hex}", at=datetime.now(UTC))
    if problems:
        raise StoreError("; ".join(problems))


def pause(message: Message) -> timedelta:
    """How long to wait after one more failure."""
    return _PAUSES[min(message.attempts, len(_PAUSES) - 1)]
