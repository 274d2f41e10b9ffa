"""URLs that read one object for a while. obstore signs them, by computation alone: OpenDAL's signing is asynchronous, and
on Azure it grants the right to write."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from trueup import keys
from trueup.errors import StoreError
from trueup.stores.credentials import Place


def signer(place: Place) -> Any:
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
        config = {name: options[name] for name in ("account_name", "account_key", "endpoint") if options.get(name)}
        if options.get("sas_token"):
            config["sas_key"] = options["sas_token"]
        return AzureStore(place.bucket, client_options=client, **config)
    except Exception as error:  # noqa: BLE001 - obstore's own classes, imported nowhere else
        raise StoreError(f"cannot sign URLs for {place.url}: {_line(error, place)}") from None


def sign(store: Any, place: Place, key: str, ttl: timedelta) -> str:
    """A URL that reads `key`, and can do nothing else, until `ttl` (at most 7 days) has passed."""
    import obstore

    try:
        return str(obstore.sign(store, "GET", place.prefix + key, ttl))
    except Exception as error:  # noqa: BLE001
        raise StoreError(f"cannot sign a URL for '{keys.display(key)}' in {place.url}: {_line(error, place)}") from None


def _line(error: Exception, place: Place) -> str:
    return place.scrub(str(error).partition("\n")[0])[:300]
