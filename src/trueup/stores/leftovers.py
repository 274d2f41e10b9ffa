"""Multipart uploads that nobody finished, in S3 and what speaks it: their parts cost money and are in no listing.

The client can neither list nor abort them, so these two requests are signed here
(https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
"""

from __future__ import annotations

import hashlib
import hmac
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import IO, Final, NamedTuple
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as ET

from trueup.errors import AccessDenied, StoreError, Unreachable
from trueup.stores.place import Place

_NOTHING: Final = hashlib.sha256(b"").hexdigest()
_LARGEST: Final = 16 << 20
"""Bytes of one page; a thousand uploads are far less."""


class Leftover(NamedTuple):
    """One unfinished upload."""

    key: str
    """Below the store's prefix."""
    upload: str
    began: datetime
    """UTC."""


class Leftovers:
    """The unfinished uploads of one place."""

    def __init__(self, place: Place) -> None:
        self._place = place

    @classmethod
    def of(cls, place: Place) -> Leftovers | None:
        """None where they cannot be asked for: another service, a credential that is not at hand, no known region."""
        options = place.options
        needed = {"access_key_id", "secret_access_key", "region"}
        if place.service != "s3" or not needed <= options.keys() or "role_arn" in options:
            return None
        return cls(place)

    def list(self) -> Iterator[Leftover]:
        """By key. Raises `AccessDenied` without the right to list them, and other `StoreError`s."""
        prefix = self._place.prefix
        query = {"uploads": "", "prefix": prefix}
        while True:
            page = self._page(query)
            for found in page.iterfind("{*}Upload"):
                began = datetime.fromisoformat(_text(found, "Initiated")).astimezone(UTC)
                key = _text(found, "Key")
                if key.startswith(prefix):
                    yield Leftover(key.removeprefix(prefix), _text(found, "UploadId"), began)
            after = (_text(page, "NextKeyMarker"), _text(page, "NextUploadIdMarker"))
            if _text(page, "IsTruncated") != "true" or after == (
                query.get("key-marker"),
                query.get("upload-id-marker"),
            ):
                return
            query |= {"key-marker": after[0], "upload-id-marker": after[1]}

    def abort(self, leftover: Leftover) -> None:
        """Throw an upload's parts away. One that is gone is fine."""
        self._ask("DELETE", self._place.prefix + leftover.key, {"uploadId": leftover.upload}, gone=True)

    def _page(self, query: Mapping[str, str]) -> ET.Element:
        try:
            # Expat refuses entities that grow out of proportion.
            return ET.fromstring(self._ask("GET", "", query))  # noqa: S314
        except ET.ParseError as error:
            raise StoreError(f"the unfinished uploads of {self._place.url} cannot be read: {error}") from None

    def _ask(self, method: str, key: str, query: Mapping[str, str], *, gone: bool = False) -> bytes:
        place = self._place
        request = _signed(place, method, key, query)
        try:
            with urllib.request.build_opener(_Stay).open(request, timeout=place.timeout) as answer:
                return bytes(answer.read(_LARGEST))
        except urllib.error.HTTPError as error:
            with error:
                if gone and error.code == HTTPStatus.NOT_FOUND:
                    return b""
                kind = AccessDenied if error.code == HTTPStatus.FORBIDDEN else StoreError
                raise kind(f"{place.url} does not tell of unfinished uploads: {error.code} {error.reason}") from None
        except (OSError, HTTPException) as error:
            raise Unreachable(f"{place.url} could not be asked for unfinished uploads: {error}") from None


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: object, newurl: str
    ) -> None:
        """Nowhere: the signature belongs to one host."""


def _signed(place: Place, method: str, key: str, query: Mapping[str, str]) -> urllib.request.Request:
    options = place.options
    region = options["region"]
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    endpoint = urlsplit(options.get("endpoint") or f"https://s3.{region}.{suffix}")
    host, path = endpoint.netloc, endpoint.path.rstrip("/")
    if options.get("enable_virtual_host_style") == "true":
        host = f"{place.bucket}.{host}"
    else:
        path = f"{path}/{place.bucket}"
    path = quote(f"{path}/{key}" if key else path or "/", safe="/-_.~")
    asked = "&".join(sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query.items()))
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": host, "x-amz-content-sha256": _NOTHING, "x-amz-date": now}
    if options.get("session_token"):
        headers["x-amz-security-token"] = options["session_token"]
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    wanted = f"{method}\n{path}\n{asked}\n{lines}\n{names}\n{_NOTHING}"
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(wanted.encode()).hexdigest()}"
    secret = f"AWS4{options['secret_access_key']}".encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), hashlib.sha256)
    signature = hmac.digest(secret, text.encode(), hashlib.sha256).hex()
    credential = f"{options['access_key_id']}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    url = f"{endpoint.scheme}://{host}{path}?{asked}"
    return urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 - http or https


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}") or ""
