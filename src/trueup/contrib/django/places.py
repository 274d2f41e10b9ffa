"""What is synced with what: `STATIC_ROOT` with `static/` and `MEDIA_ROOT` with `media/` in the bucket."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from django.conf import settings as site
from django.views.decorators.debug import sensitive_variables

from trueup.config import Settings, StoreConfig, load, local_path
from trueup.contrib.django import credentials
from trueup.errors import ConfigError

ROOTS: Final = (("STATIC_ROOT", "static"), ("MEDIA_ROOT", "media"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One root and its place in the bucket."""

    setting: str
    """`STATIC_ROOT` or `MEDIA_ROOT`."""
    name: str
    """`static` or `media`: the folder in the bucket."""
    left: str
    """The folder."""
    right: str
    """The URL, which is also the name of the store in the settings of the run."""


def read_settings() -> Settings:
    """`trueup.toml`, the environment, and the setting `TRUEUP_HOME` over both. Raises `ConfigError`."""
    settings = load()
    home = getattr(site, "TRUEUP_HOME", None)
    return replace(settings, home=local_path(str(home), where="TRUEUP_HOME = ").absolute()) if home else settings


def pairs() -> tuple[list[Pair], list[str], Settings]:
    """The pairs of this site, the roots that are not set, and settings under which the pairs' stores can be opened.

    The bucket is that of the credentials, or whatever the setting (or variable) `TRUEUP_BUCKET` names: a folder, a
    URL, or a `[stores.NAME]` of `trueup.toml`. Raises `ConfigError`.
    """
    settings = read_settings()
    found, unset = [], []
    for setting, folder in ROOTS:
        root = str(getattr(site, setting, None) or "")
        if root:
            found.append((setting, str(Path(root).absolute()), folder))
        else:
            unset.append(setting)
    if not found:
        raise ConfigError("STATIC_ROOT and MEDIA_ROOT are not set", cure="Set at least one of them in the settings")
    stores = dict(settings.stores)
    made = []
    bucket = _bucket(settings)
    for setting, left, folder in found:
        store = replace(bucket, url=f"{bucket.url.rstrip('/')}/{folder}")
        stores[store.url] = store
        made.append(Pair(setting=setting, name=folder, left=left, right=store.url))
    return made, unset, replace(settings, stores=stores)


@sensitive_variables()  # an error report shows the variables of every function, down to this one
def place(named: str, settings: Settings) -> StoreConfig:
    """The folder, URL or `[stores.NAME]` that somebody named. A bucket in S3 or R2 without options of its own takes its
    credentials from the database, the settings or the environment."""
    config = settings.store(named)
    if not config.options and config.url.startswith(("s3://", "r2://")):
        options = credentials.find(settings.environ).options()
        if {"access_key_id", "secret_access_key"} <= options.keys():
            return replace(config, options=options)
    return _absolute(config)


def _absolute(config: StoreConfig) -> StoreConfig:
    """A relative folder would be another one wherever manage.py is called from."""
    if not config.url or "://" in config.url:
        return config
    return replace(config, url=os.fspath(local_path(config.url).absolute()))


def _bucket(settings: Settings) -> StoreConfig:
    named = str(getattr(site, "TRUEUP_BUCKET", "") or settings.environ.get("TRUEUP_BUCKET", ""))
    if not named:
        return credentials.bucket(settings.environ)
    return _absolute(settings.store(named))
