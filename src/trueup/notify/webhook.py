"""Telling a URL what happened, signed.

The scheme is that of https://www.standardwebhooks.com
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from http.client import HTTPException
from typing import Any, Final

from trueup.errors import StoreError
from trueup.notify.config import Webhook

_TIMEOUT: Final = 15
"""Seconds; the scheme's own advice."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What was signed for one place is not sent to another."""

    def redirect_request(self, *_: object) -> None:
        return None


def post(hook: Webhook, *, message_id: str, kind: str, at: datetime, data: Mapping[str, Any]) -> None:
    """Raises `StoreError` unless the answer is a 2xx."""
    body = json.dumps({"type": kind, "timestamp": at.isoformat().replace("+00:00", "Z"), "data": data}).encode()
    now = str(int(time.time()))
    authorization = {"authorization": hook.authorization} if hook.authorization else {}
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked with the settings
        hook.url,
        data=body,
        method="POST",
        headers={
            "content-type": "application/json",
            "user-agent": "trueup",
            "webhook-id": message_id,
            "webhook-timestamp": now,
            "webhook-signature": signature(hook.secret, message_id, now, body),
            **authorization,
        },
    )
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=_TIMEOUT):
            return
    except urllib.error.HTTPError as error:
        with error:
            raise StoreError(f"the webhook at {hook.host} answered {error.code}") from None
    except (OSError, HTTPException) as error:
        raise StoreError(f"the webhook at {hook.host} could not be told: {getattr(error, 'reason', error)}") from None


def signature(secret: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """The header's value."""
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
