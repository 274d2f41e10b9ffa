"""A service account in this process: its key, and the place where it is changed into tokens."""

from __future__ import annotations

import base64
import json
import secrets
import time
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

EMAIL: Final = "reader@example-project.iam.gserviceaccount.com"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_GOOGLE: Final = "https://oauth2.googleapis.com/token"
_LIFETIME: Final = 3600
_TOLERANCE: Final = 300
"""Seconds that clocks may differ."""


class Tokens:
    """Gives tokens out, after https://developers.google.com/identity/protocols/oauth2/service-account."""

    def __init__(self) -> None:
        self.revoked = False
        self.granted: frozenset[str] = frozenset()
        self._key_id = secrets.token_hex(20)
        self._tokens: dict[str, frozenset[str]] = {}

    def key(self, token_uri: str) -> dict[str, str]:
        """The JSON file of the service account."""
        private = _key().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": "example-project",
            "private_key_id": self._key_id,
            "private_key": private.decode(),
            "client_email": EMAIL,
            "client_id": "100000000000000000001",
            "token_uri": token_uri,
        }

    def expire(self) -> None:
        """Take back every token that was given out."""
        self._tokens.clear()

    def scopes(self, authorization: str) -> frozenset[str] | None:
        """What the bearer may do; None for a token that is not good."""
        return self._tokens.get(authorization.removeprefix("Bearer "))

    def answer(self, body: bytes, own: str) -> tuple[int, dict[str, Any]]:
        """Status and document for a request at `own`, the URL of the endpoint."""
        form = dict(parse_qsl(body.decode()))
        if form.get("grant_type") != _GRANT:
            return 400, {"error": "unsupported_grant_type", "error_description": "Invalid grant_type"}
        try:
            claims = self._verified(form.get("assertion", ""))
            _check(claims, own)
        except ValueError as error:
            return 400, {"error": "invalid_grant", "error_description": str(error)}
        scopes = frozenset(str(claims.get("scope", "")).split())
        if not scopes:
            said = "Invalid OAuth scope or ID token audience provided."
            return 400, {"error": "invalid_scope", "error_description": said}
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self._tokens[token] = self.granted = scopes
        return 200, {"access_token": token, "expires_in": _LIFETIME - 1, "token_type": "Bearer"}

    def _verified(self, assertion: str) -> dict[str, Any]:
        signed, _, signature = assertion.rpartition(".")
        try:
            header, claims = (json.loads(_decoded(part)) for part in signed.split("."))
            _key().public_key().verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (ValueError, InvalidSignature) as error:
            raise ValueError("Invalid JWT Signature.") from error
        # What Google says of a key that was deleted, too.
        if self.revoked or header.get("alg") != "RS256" or header.get("kid") != self._key_id:
            raise ValueError("Invalid JWT Signature.")
        found: dict[str, Any] = claims
        return found


def _check(claims: dict[str, Any], own: str) -> None:
    if claims.get("iss") != EMAIL:
        raise ValueError("Invalid grant: account not found")
    if claims.get("aud") not in {_GOOGLE, own}:
        raise ValueError("Invalid JWT: Failed audience check.")
    begins, ends, now = claims.get("iat"), claims.get("exp"), time.time()
    if not isinstance(begins, int) or not isinstance(ends, int) or ends - begins > _LIFETIME:
        raise ValueError("Invalid JWT: Token must be a short-lived token (60 minutes).")
    if not begins - _TOLERANCE <= now <= ends:
        raise ValueError("Invalid JWT: Check your iat and exp values in the JWT claim.")


@cache
def _key() -> rsa.RSAPrivateKey:
    """One for the process: making one takes as long as a hundred requests."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
