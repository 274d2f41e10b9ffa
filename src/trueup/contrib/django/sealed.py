"""Values that lie in the database only encrypted.

Fernet (AES-128-CBC with HMAC-SHA256) under a key derived by HKDF-SHA256 without salt and with the info string `INFO`
from a secret of the Django settings: `TRUEUP_CREDENTIALS_KEY` (one secret, or a list of them, newest first) where it
is set, else `SECRET_KEY`. What an older one of these, `SECRET_KEY` or `SECRET_KEY_FALLBACKS` encrypted stays readable.
The derivation is fixed: another one would get another `PREFIX`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from django.conf import settings

from trueup.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

INFO: Final = b"trueup.contrib.django/StorageCredential/1"
PREFIX: Final = "trueup1$"
"""What a stored value begins with: it names the derivation, and tells a sealed value from a plain one."""


class Unreadable(ConfigError):
    """A stored value was encrypted under a secret that is not known here."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A value as the database holds it. Its text, wherever it is shown, says nothing."""

    token: str = field(repr=False)

    def __str__(self) -> str:
        return "(stored)"

    def open(self, what: str = "the stored value") -> str:
        """The value itself. Raises `Unreadable`, which says `what` cannot be read."""
        from cryptography.fernet import InvalidToken  # `_keyring` says what to do where it is not installed

        try:
            return _keyring().decrypt(self.token.removeprefix(PREFIX)).decode()
        except InvalidToken:
            raise Unreadable(
                f"{what} in the database cannot be decrypted: it was stored under another SECRET_KEY",
                cure="Add that key to SECRET_KEY_FALLBACKS, or enter the value again in the admin",
            ) from None


def seal(value: str) -> Sealed:
    """Encrypt a value under the newest secret."""
    return Sealed(PREFIX + _keyring().encrypt(value.encode()).decode())


def _keyring() -> MultiFernet:
    try:
        from cryptography.fernet import Fernet, MultiFernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError:
        raise MissingExtra("storing credentials in the database", "django") from None

    def derived(secret: str | bytes) -> Fernet:
        material = secret.encode() if isinstance(secret, str) else secret
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=INFO).derive(material)
        return Fernet(base64.urlsafe_b64encode(key))

    return MultiFernet([derived(secret) for secret in _secrets()])


def _secrets() -> Iterator[str | bytes]:
    """The secrets a value may be encrypted under; the first one encrypts."""
    own = getattr(settings, "TRUEUP_CREDENTIALS_KEY", None) or ()
    yield from (own,) if isinstance(own, str | bytes) else own
    yield settings.SECRET_KEY
    yield from settings.SECRET_KEY_FALLBACKS
