"""URLs that read one object for a while, made by computation alone.

obstore signs: OpenDAL's own signing is asynchronous, and on Azure it grants the right to write. With an Azure account
key we sign ourselves, because obstore 0.12 signs the encoded path, which Azure refuses for a name that needs encoding.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from trueup import keys
from trueup.errors import StoreError, UsageError
from trueup.stores.place import Place

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

_LONGEST: Final = timedelta(days=7)
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html,
https://developers.cloudflare.com/r2/api/s3/presigned-urls/, https://cloud.google.com/storage/docs/access-control/signed-urls
and, without the account's key, https://learn.microsoft.com/rest/api/storageservices/get-user-delegation-key."""
_SAS_VERSION: Final = "2020-12-06"


def signer(place: Place) -> AzureStore | GCSStore | S3Store | None:
    """The obstore store that signs for a place. Credentials it was not given it looks for in the environment."""
    from obstore.store import AzureStore, GCSStore, S3Store

    options = place.options
    if options.get("skip_signature") == "true":
        raise StoreError(
            f"{place.url} is used without credentials, so nothing can sign for it", cure="Give it credentials"
        )
    if options.get("profile"):
        raise StoreError(
            f"{place.url} takes its credentials from a profile, which cannot sign URLs",
            cure="Set access_key_id and secret_access_key, or run where a role is attached",
        )
    endpoint = options.get("endpoint", "")
    client: Any = {"allow_http": endpoint.startswith("http://")}
    config: dict[str, Any] = {}
    try:
        if place.service == "s3":
            names = ("access_key_id", "secret_access_key", "session_token", "region", "endpoint")
            config = {name: options[name] for name in names if options.get(name)}
            config["virtual_hosted_style_request"] = options.get("enable_virtual_host_style") == "true"
            return S3Store(place.bucket, client_options=client, **config)
        if place.service == "gcs":
            if options.get("credential_path"):
                config["service_account_path"] = options["credential_path"]
            elif options.get("credential"):
                config["service_account_key"] = options["credential"]
            return GCSStore(place.bucket, client_options=client, **config)
        if options.get("sas_token"):
            raise StoreError(
                f"{place.url} is used with a SAS token, whose rights cannot be narrowed",
                cure="Give it the account's key",
            )
        if options.get("account_key"):
            return None  # `sign` needs no help
        config = {name: options[name] for name in ("account_name", "endpoint") if options.get(name)}
        return AzureStore(place.bucket, client_options=client, **config)
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - obstore's own classes, imported nowhere else
        raise StoreError(f"cannot sign URLs for {place.url}: {_line(error, place)}") from None


def longest(place: Place) -> timedelta | None:
    """How long a URL may work; None where nothing limits it. Temporary credentials end it earlier, at a time they do
    not tell."""
    return None if place.service == "azblob" and place.options.get("account_key") else _LONGEST


def check(place: Place, ttl: timedelta) -> None:
    """Raise `UsageError` for a time that a URL cannot be given."""
    limit = longest(place)
    if limit is not None and ttl > limit:
        session = ", and no longer than the session of its credentials" if place.options.get("session_token") else ""
        raise UsageError(
            f"a URL of {place.url} works for at most {limit.days} days{session}",
            cure="Ask for less, and sign again later",
        )
    if ttl < timedelta(seconds=1):
        raise UsageError("a URL works for at least one second", cure="Ask for more")


def sign(store: AzureStore | GCSStore | S3Store | None, place: Place, key: str, ttl: timedelta) -> str:
    """A URL that reads `key`, and can do nothing else, until `ttl` has passed."""
    if place.service == "azblob":
        if place.options.get("account_key"):
            return _azure(place, key, ttl)
        if quote(place.prefix + key, safe="/") != place.prefix + key:
            raise StoreError(
                f"cannot sign a URL for '{keys.display(key)}' in {place.url}: its name needs encoding",
                cure="Give the store the account's key, or rename the object",
            )
    assert store is not None
    import obstore

    try:
        return str(obstore.sign(store, "GET", place.prefix + key, ttl))
    except Exception as error:  # noqa: BLE001
        raise StoreError(f"cannot sign a URL for '{keys.display(key)}' in {place.url}: {_line(error, place)}") from None


def _line(error: Exception, place: Place) -> str:
    return place.scrub(str(error).partition("\n")[0])[:300]


def _azure(place: Place, key: str, ttl: timedelta) -> str:
    """A service SAS (https://learn.microsoft.com/rest/api/storageservices/create-service-sas)."""
    account = place.options["account_name"]
    path = f"{place.bucket}/{place.prefix}{key}"
    endpoint = place.options["endpoint"]
    expiry = (datetime.now(UTC) + ttl).strftime("%Y-%m-%dT%H:%M:%SZ")
    protocol = "https" if endpoint.startswith("https://") else "https,http"
    # permissions, start, expiry, resource, identifier, address, protocol, version, kind, and seven that stay empty
    fields = ["r", "", expiry, f"/blob/{account}/{path}", "", "", protocol, _SAS_VERSION, "b", *[""] * 7]
    digest = hmac.digest(base64.b64decode(place.options["account_key"]), "\n".join(fields).encode(), hashlib.sha256)
    query = {"sv": _SAS_VERSION, "se": expiry, "sr": "b", "sp": "r", "spr": protocol}
    signed = urlencode(query | {"sig": base64.b64encode(digest).decode()})
    return f"{endpoint}/{quote(path, safe='/')}?{signed}"
