"""Which place a file storage keeps its files in. What django-storages offers is known by its attributes, so that it
need not be installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.files.storage import FileSystemStorage, Storage
from django.views.decorators.debug import sensitive_variables

from trueup.config import Settings, StoreConfig
from trueup.contrib.django.places import place
from trueup.contrib.django.storage import TrueupStorage
from trueup.errors import ConfigError


@sensitive_variables()
def place_of(storage: Storage, settings: Settings) -> StoreConfig:
    """The place, with the storage's own credentials. Raises `ConfigError` for a storage that does not tell."""
    if isinstance(storage, TrueupStorage):
        return place(storage.place, settings)
    if isinstance(storage, FileSystemStorage):
        if not storage.base_location:  # it would stand for the working folder
            raise ConfigError("MEDIA_ROOT is not set", cure="Set it in the settings")
        return StoreConfig(url=str(storage.location))
    if _has(storage, "bucket_name", "location", "access_key", "secret_key", "endpoint_url"):
        return _s3(storage)
    if _has(storage, "bucket_name", "location", "project_id", "credentials"):
        return _gcs(storage)
    if _has(storage, "azure_container", "location", "account_name"):
        return _azure(storage)
    raise ConfigError(f"{_named(storage)} does not tell where its files are")


def _s3(storage: Any) -> StoreConfig:  # noqa: ANN401 - known by its attributes
    profile = getattr(storage, "session_profile", None)
    keys = {
        "access_key_id": storage.access_key,
        "secret_access_key": storage.secret_key,
        "session_token": getattr(storage, "security_token", None),
    }
    virtual = getattr(storage, "addressing_style", None) == "virtual"
    return _bucket(
        f"s3://{storage.bucket_name or ''}",
        storage,
        ({"profile": profile} if profile else keys)
        | {
            "region": getattr(storage, "region_name", None),
            "endpoint": storage.endpoint_url,
            "virtual_host_style": "true" if virtual else None,
        },
    )


def _gcs(storage: Any) -> StoreConfig:  # noqa: ANN401 - as above
    if storage.credentials is not None:
        raise _not_lent(storage)
    return _bucket(f"gs://{storage.bucket_name or ''}", storage, {})


def _azure(storage: Any) -> StoreConfig:  # noqa: ANN401 - as above
    if getattr(storage, "token_credential", None) is not None:
        raise _not_lent(storage)
    url = f"az://{storage.azure_container or ''}"
    if text := getattr(storage, "connection_string", None):
        return _bucket(url, storage, {"connection_string": text})
    scheme = "https" if getattr(storage, "azure_ssl", True) else "http"
    suffix = getattr(storage, "endpoint_suffix", None) or "core.windows.net"
    return _bucket(
        url,
        storage,
        {
            "account_name": storage.account_name,
            "account_key": getattr(storage, "account_key", None),
            "sas_token": getattr(storage, "sas_token", None),
            "endpoint": f"{scheme}://{storage.account_name}.blob.{suffix}",
        },
    )


def _bucket(url: str, storage: Any, options: Mapping[str, object]) -> StoreConfig:  # noqa: ANN401 - as above
    folder = str(storage.location or "").strip("/")
    given = {name: str(value) for name, value in options.items() if value}
    return StoreConfig(url=f"{url}/{folder}" if folder else url, options=given)


def _not_lent(storage: Storage) -> ConfigError:
    return ConfigError(f"{_named(storage)} has its credentials in an object that only its own library can use")


def _has(storage: Storage, *names: str) -> bool:
    return all(hasattr(storage, name) for name in names)


def _named(storage: Storage) -> str:
    kind = storage.__class__  # of what a lazy one wraps, which its type is not
    return f"{kind.__module__}.{kind.__qualname__}"
