"""The key of a service account, as Google hands it out: where it is found, and signing in with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trueup.config import local_path, resolve_secret
from trueup.errors import ConfigError
from trueup.records.issues import CREDENTIALS, Trouble

if TYPE_CHECKING:
    from google.oauth2.service_account import Credentials

_SETTING: Final = "[records.sheets] credentials"
_VARIABLE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
_NEEDED: Final = ("client_email", "private_key", "token_uri")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKey:
    """What the JSON file says. It is secret, but for the address."""

    email: str
    """Whom the spreadsheet is shared with."""
    token_uri: str
    """Where the key is changed into a token."""
    document: Mapping[str, Any] = field(repr=False)

    def sign_in(self, scopes: Iterable[str]) -> Credentials:
        """What gets tokens that allow no more than this. Nothing is asked yet. Raises `Trouble`."""
        from google.oauth2.service_account import Credentials

        try:
            found: Credentials = Credentials.from_service_account_info(self.document, scopes=list(scopes))  # type: ignore[no-untyped-call]
            found.sign_bytes(b"")  # keys of other kinds are found out only here
        except Exception:  # noqa: BLE001 - of many kinds, and what they say may hold a part of the key
            raise Trouble(CREDENTIALS, f"the private key of {self.email} is damaged; get a new one") from None
        return found


def service_key(written: str, environ: Mapping[str, str], base: Path) -> ServiceKey:
    """The key that the setting names: a path, `file:PATH`, or `env:NAME` of a variable that holds the path or the JSON
    itself. Without a setting it is the file that GOOGLE_APPLICATION_CREDENTIALS names. Raises `Trouble`."""
    where = _SETTING if written else _VARIABLE
    written = written or environ.get(_VARIABLE, "")
    if not written:
        raise Trouble(CREDENTIALS, f'{_SETTING} is missing; name the key of a service account: "file:credentials.json"')
    try:
        text = resolve_secret(written, environ, base)
        if not written.startswith("file:") and not text.lstrip().startswith("{"):
            text = (base / local_path(text, where=f"{where} = ")).read_text("utf-8")
    except ConfigError as error:
        raise Trouble(CREDENTIALS, str(error)) from error
    except FileNotFoundError:
        raise Trouble(CREDENTIALS, f"{where}: the file is not there") from None
    except (OSError, ValueError):
        raise Trouble(CREDENTIALS, f"{where}: the file cannot be read") from None
    return _understood(text, where)


def _understood(text: str, where: str) -> ServiceKey:
    try:
        document = json.loads(text)
    except ValueError:  # RecursionError is none: what nests so deep is no key that anybody has
        document = None
    if not isinstance(document, dict):
        raise Trouble(CREDENTIALS, f"{where} is no JSON; download the key of the service account anew")
    if document.get("type") != "service_account":
        raise Trouble(CREDENTIALS, f"{where} is not the key of a service account")
    for name in _NEEDED:
        if not isinstance(document.get(name), str) or not document[name]:
            raise Trouble(CREDENTIALS, f"{where} has no {name}; download the key of the service account anew")
    if not re.match("https?://.", document["token_uri"]):
        raise Trouble(CREDENTIALS, f"{where}: its token_uri is no URL; download the key of the service account anew")
    return ServiceKey(email=document["client_email"], token_uri=document["token_uri"], document=document)
