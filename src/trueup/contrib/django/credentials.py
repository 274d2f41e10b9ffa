"""Where the bucket's credentials come from: the database, else the Django settings, else the environment.

Each name is looked for on its own, so that a key may lie in the database while the settings name the bucket.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.views.decorators.debug import sensitive_variables

from trueup.config import StoreConfig
from trueup.errors import ConfigError

COLUMNS: Final[Mapping[str, str]] = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_S3_ENDPOINT_URL": "endpoint_url",
    "AWS_STORAGE_BUCKET_NAME": "bucket_name",
    "AWS_S3_REGION_NAME": "region",
}
"""The names people know, and the fields of `StorageCredential` that hold them."""

REQUIRED: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_S3_ENDPOINT_URL", "AWS_STORAGE_BUCKET_NAME")

_OPTIONS: Final[Mapping[str, str]] = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_SESSION_TOKEN": "session_token",
    "AWS_S3_ENDPOINT_URL": "endpoint",
    "AWS_S3_REGION_NAME": "region",
}
"""What a store calls them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What was found."""

    values: Mapping[str, str] = field(repr=False)
    """By the names of `COLUMNS`; what is missing everywhere is left out."""
    database_problem: str = ""
    """Why nothing could be read from the database, if so."""

    @property
    def missing(self) -> list[str]:
        """The names without which no bucket can be reached."""
        return [name for name in REQUIRED if name not in self.values]

    def options(self) -> dict[str, str]:
        """As options of a store."""
        return {option: self.values[name] for name, option in _OPTIONS.items() if name in self.values}


@sensitive_variables()
def find(environ: Mapping[str, str]) -> Credentials:
    """Look in the database, the settings and the environment. Raises `sealed.Unreadable`."""
    stored, problem = _stored()
    places: tuple[Mapping[str, str], ...] = (stored, _in_settings(), environ)
    values: dict[str, str] = {}
    for name in COLUMNS:
        for place in places:
            if place.get(name):
                values[name] = place[name]
                if name == "AWS_SECRET_ACCESS_KEY" and place.get("AWS_SESSION_TOKEN"):
                    values["AWS_SESSION_TOKEN"] = place["AWS_SESSION_TOKEN"]  # it belongs to this very key
                break
    return Credentials(values=values, database_problem=problem)


def bucket(environ: Mapping[str, str]) -> StoreConfig:
    """The bucket the credentials name. Raises one `ConfigError` that names all that is missing."""
    found = find(environ)
    if missing := found.missing:
        raise ConfigError(
            f"{_listed(missing)} {'is' if len(missing) == 1 else 'are'} missing{found.database_problem}",
            cure="Enter what is missing in the admin (Storage credentials), or put it into the Django settings or the "
            "environment; or name another place in the setting TRUEUP_BUCKET",
        )
    return StoreConfig(url=f"s3://{found.values['AWS_STORAGE_BUCKET_NAME']}", options=found.options())


def _in_settings() -> dict[str, str]:
    names = (*COLUMNS, "AWS_SESSION_TOKEN")
    return {name: str(value) for name in names if (value := getattr(settings, name, None))}


def _stored() -> tuple[dict[str, str], str]:
    """What the database holds, and why it could not be asked."""
    if not apps.is_installed("trueup.contrib.django"):
        return {}, ""
    from trueup.contrib.django.models import StorageCredential

    try:
        row = StorageCredential.objects.first()
    except (DatabaseError, ImproperlyConfigured) as error:
        reason = " ".join(str(error).split())
        return {}, f" (the database could not be asked: {reason}; has `python manage.py migrate` run?)"
    if row is None:
        return {}, ""
    return {name: row.opened(column) for name, column in COLUMNS.items()}, ""


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
