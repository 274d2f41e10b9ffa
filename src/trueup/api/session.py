"""Who signed in with the key in a browser: a signed cookie that ends by itself, so the server remembers nothing."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import Final

LASTS: Final = 12 * 3600
"""Seconds."""


class Sessions:
    """Signs and knows the cookies of one API key. Another key knows none of them."""

    def __init__(self, api_key: str) -> None:
        self._key = digest(api_key)
        self._secret = hashlib.sha256(b"trueup session " + api_key.encode()).digest()
        self.cookie = f"trueup_session_{hashlib.sha256(b'trueup cookie ' + api_key.encode()).hexdigest()[:8]}"
        """Its name. A browser keeps one of each name for a host, whatever the port: by the key those of several servers
        there are told apart, and servers with one key, behind one address, are one."""

    def accepts(self, api_key: str) -> bool:
        """Whether that is the key; takes as long for every answer."""
        return hmac.compare_digest(digest(api_key), self._key)

    def new(self) -> str:
        """The value of a cookie that is good from now on."""
        said = f"{int(time.time()) + LASTS}.{secrets.token_hex(8)}"
        return f"{said}.{self._sign(said)}"

    def knows(self, cookie: str) -> bool:
        """Whether it was signed here and has not ended."""
        said, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(digest(signature), digest(self._sign(said))):
            return False
        return time.time() < int(said.partition(".")[0])

    def _sign(self, said: str) -> str:
        return hmac.new(self._secret, said.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def digest(text: str) -> bytes:
    """Of equal length for every text, so that comparing tells nothing of it."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
