"""Settings: `trueup.toml`, `.env` and the environment become frozen values.

Environment beats file: `TRUEUP_<SECTION>__<KEY>`. A secret may be written `env:NAME` or `file:PATH`.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from trueup.errors import ConfigError

MODES: Final = ("two-way", "push", "pull")
PREFERENCES: Final = ("right", "left", "newer", "older", "larger", "smaller", "none")
COMPARISONS: Final = ("md5", "size-mtime", "size")
PRESERVED: Final = ("mtime", "metadata", "content-type")

_SECTIONS: Final = frozenset(
    "database stores sync pool downloads reconcile ingest records alerts server schedule".split()
)
_PLACE: Final = "Write a folder, a URL or the name of a store, in quotes"
_FILES: Final = frozenset({"key_file", "known_hosts"})
"""Options of a store that name a file, relative to the settings file."""
_LONGEST: Final = 36500 * 86400
"""Seconds: a hundred years, so that whatever is counted from now has a date."""
_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """One `[stores.NAME]`: a URL and the options of its store (secrets resolved). `name` is empty for a bare URL, `url`
    where the option `service` says what it is."""

    url: str
    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    inventory: str = ""
    """Where its cloud's reports of what lies there are put: the name of a store, a URL or a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncConfig:
    """How two trees are brought into agreement: one `[sync.NAME]`, or the flags of one command."""

    mode: str = "two-way"
    prefer: str = "right"
    delete: bool = False
    keep_loser: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    compare: str = "md5"
    max_delete: str = "50%"
    force: bool = False
    trash: bool = True
    workers: int = 0
    """Transfers at once; 0 is as many as suit the two places."""
    bwlimit: int = 0
    """Bytes a second over all transfers of the run; 0 is no limit."""
    release: bool = False
    preserve: tuple[str, ...] = ()
    """What goes along with a copy besides the bytes, where the source tells it and the target keeps it."""

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("mode", self.mode, MODES),
            ("prefer", self.prefer, PREFERENCES),
            ("compare", self.compare, COMPARISONS),
        ):
            if value not in allowed:
                raise ConfigError(f"{name} = {value!r} is unknown", cure=f"Use one of: {', '.join(allowed)}")
        for value in self.preserve:
            if value not in PRESERVED:
                raise ConfigError(f"preserve = {value!r} is unknown", cure=f"Use some of: {', '.join(PRESERVED)}")
        if not re.fullmatch(r"\d+%?", self.max_delete):
            raise ConfigError(f"max_delete = {self.max_delete!r} is unusable", cure="Write a number or a percentage")
        if not 0 <= self.workers <= 256:
            raise ConfigError(f"workers = {self.workers} is unusable", cure="Use 1 to 256, or leave it out")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJob:
    """A named pair."""

    left: str
    right: str
    options: SyncConfig = field(default_factory=SyncConfig)


def state_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Where state lives: `TRUEUP_HOME`, else the platform's state folder. Raises `ConfigError`."""
    if home := environ.get("TRUEUP_HOME"):
        return local_path(home, where="TRUEUP_HOME = ")
    try:
        if os.name == "nt":
            return Path(environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "trueup"
        # https://specifications.freedesktop.org/basedir-spec/latest/
        return Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "trueup"
    except RuntimeError:  # as in a container whose user has no entry in its password file
        raise ConfigError("this user has no home folder to keep state in", cure="Name a folder: TRUEUP_HOME") from None


def local_path(text: str, *, where: str = "") -> Path:
    """The path somebody wrote, with `~` and `~name` resolved. Raises `ConfigError`; `where` begins its message."""
    if "\0" in text:
        raise ConfigError(f"{where}{text!r} is no place: it holds a NUL character", cure="Write it without")
    path = os.path.expanduser(text)  # noqa: PTH111 - a Path forgets the dot of ./~name, which is no home
    if path == text and text.startswith("~"):
        raise ConfigError(
            f"{where}{text!r} begins with a home folder that is not known here",
            cure="Write the whole path; a folder whose own name begins with ~ is ./~name",
        )
    return Path(path)


def parse_size(text: str) -> int:
    """Bytes from `5GiB`, `10M`, `1024`; units are binary. A rate may end in `/s`. Raises `ConfigError`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?(?:/s)?", text.strip().lower())
    if not found:
        raise ConfigError(f"{text!r} is not a size", cure="Write it like 500KiB, 10M or 5GiB")
    size = float(found[1]) * _UNITS[found[2]]
    if 0 < size < 1:  # nothing at all would be another thing: no limit
        raise ConfigError(f"{text!r} is less than one byte", cure="Write it like 500KiB, 10M or 5GiB")
    return int(size)


def parse_seconds(text: str, *, where: str) -> float:
    """Seconds from `500ms`, `30s`, `5m`, `24h`, `7d` or a bare number, at most 36,500 days. Raises `ConfigError`;
    `where` begins its message."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)", text.strip())
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}
    seconds = float(found[1]) * units[found[2]] if found else 0.0
    if not seconds:
        raise ConfigError(f"{where} = '{text}' is unusable", cure="Write it like 30s")
    if seconds > _LONGEST:
        raise ConfigError(f"{where} = '{text}' is too long", cure="Write 36500d or less")
    return seconds


def parse_boolean(value: object, *, where: str) -> bool:
    """From TOML's own, or from text such as `yes` and `0`. Raises `ConfigError`; `where` begins its message."""
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text not in {"true", "false", "1", "0", "yes", "no", "on", "off"}:
        raise ConfigError(f"{where} = {value!r} is neither true nor false")
    return text in {"true", "1", "yes", "on"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the settings files and the environment say."""

    home: Path
    environ: Mapping[str, str] = field(repr=False)
    path: Path | None = None
    env_file: Path | None = None
    """What was read before the environment."""
    stores: Mapping[str, StoreConfig] = field(default_factory=dict)
    jobs: Mapping[str, SyncJob] = field(default_factory=dict)
    sections: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The whole document, the environment laid over it: each capability reads its own section."""

    def store(self, spec: str) -> StoreConfig:
        """The store a word on the command line means: a name from `[stores]`, else a URL or a path."""
        return self.stores.get(spec) or StoreConfig(url=spec)


def load(path: str | Path | None = None, *, env_file: str | Path | None = None) -> Settings:
    """Read the settings: `path`, else `TRUEUP_CONFIG`, else `./trueup.toml` if present. The environment is read after
    `env_file`, `TRUEUP_ENV_FILE` or `./.env`, and wins over both. Raises `ConfigError`."""
    read_first = _env_file(env_file)
    environ = _environment(read_first)
    chosen = path or environ.get("TRUEUP_CONFIG")
    file = Path(chosen) if chosen else Path("trueup.toml")
    document: dict[str, Any] = {}
    read = bool(chosen) or file.is_file()
    if read:
        try:
            document = tomllib.loads(file.read_text("utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"{file} is not there", cure="Name another --config, or write one: trueup init") from None
        except (OSError, ValueError) as error:
            raise _unreadable(str(file), error) from error
    unknown = sorted(set(document) - _SECTIONS)
    if unknown:
        raise ConfigError(f"{file}: unknown section [{unknown[0]}]", cure=f"Known: {', '.join(sorted(_SECTIONS))}")
    _overlay(document, environ)
    base = file.resolve().parent if read else Path.cwd()
    tables = dict(_tables(document, "stores"))
    stores = {name: _store(name, table, environ, base, tables) for name, table in tables.items()}
    jobs = {name: _job(name, table, stores, base) for name, table in _tables(document, "sync")}
    return Settings(
        home=state_home(environ),
        environ=environ,
        path=file if read else None,
        env_file=read_first,
        stores=stores,
        jobs=jobs,
        sections=document,
    )


def _unreadable(what: str, error: Exception) -> ConfigError:
    cure = "Save it as UTF-8" if isinstance(error, UnicodeDecodeError) else ""
    return ConfigError(f"{what} cannot be read: {error}", cure=cure)


def _env_file(given: str | Path | None) -> Path | None:
    named = given or os.environ.get("TRUEUP_ENV_FILE")
    file = Path(named) if named else Path(".env")
    if named and not file.is_file():
        raise ConfigError(f"the environment file {file} is not there")
    return file if file.is_file() else None


def _environment(file: Path | None) -> dict[str, str]:
    found: dict[str, str] = {}
    if file is not None:
        from dotenv import dotenv_values  # imported only where a file is read

        try:
            found = {name: value for name, value in dotenv_values(file).items() if value is not None}
        except (OSError, ValueError) as error:
            raise _unreadable(f"the environment file {file}", error) from error
    return found | dict(os.environ)


def _overlay(document: dict[str, Any], environ: Mapping[str, str]) -> None:
    """`TRUEUP_STORES__R2__ENDPOINT=x` sets `[stores.r2] endpoint = "x"`. It reaches a `[stores.R2]` as well, because a
    variable has neither small letters nor dashes."""
    for name, value in environ.items():
        if not name.startswith("TRUEUP_") or "__" not in name:
            continue
        *tables, key = name.removeprefix("TRUEUP_").lower().split("__")
        if not tables or tables[0] not in _SECTIONS:
            raise ConfigError(f"{name} names no section", cure=f"Known: {', '.join(sorted(_SECTIONS))}")
        table = document
        for step in tables:
            spelled = next((known for known in table if known.lower().replace("-", "_") == step), step)
            table = table.setdefault(spelled, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{name} names a value, not a table")
        table[key] = value


def _tables(document: Mapping[str, Any], section: str) -> list[tuple[str, dict[str, Any]]]:
    tables = document.get(section, {})
    if not isinstance(tables, dict):
        raise ConfigError(f"[{section}] must hold tables such as [{section}.name]")
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"[{section}] {name} must be a table: [{section}.{name}]")
    return list(tables.items())


def _store(
    name: str, table: dict[str, Any], environ: Mapping[str, str], base: Path, names: Container[str]
) -> StoreConfig:
    where = f"[stores.{name}]"
    # A service of the client's is named by its options alone.
    url = "" if "service" in table and "url" not in table else _place(table, "url", where, base)
    options = {
        key: resolve_secret(str(value).lower() if isinstance(value, bool) else str(value), environ, base)
        for key, value in table.items()
        if key not in {"url", "inventory"}
    }
    for key in _FILES & options.keys():
        options[key] = str(base / local_path(options[key], where=f"{where} {key} = "))
    return StoreConfig(name=name, url=url, options=options, inventory=inventory_place(table, where, base, names))


def inventory_place(table: Mapping[str, Any], where: str, base: Path, names: Container[str]) -> str:
    """Where the reports of a store lie, as its table says; empty where it does not. Raises `ConfigError`."""
    return _place(table, "inventory", where, base, names) if "inventory" in table else ""


def _place(table: Mapping[str, Any], key: str, where: str, base: Path, names: Container[str] = ()) -> str:
    """A URL, or one of the `names`, as it is; a path in a settings file is relative to that file."""
    if key not in table:
        raise ConfigError(f"{where} has no {key}")
    place = table[key]
    if not isinstance(place, str) or not place:
        raise ConfigError(f"{where} {key} = {place!r} is no place", cure=_PLACE)
    if place in names:
        return place
    path = local_path(place, where=f"{where} {key} = ")
    return place if "://" in place or re.match(r"[A-Za-z]:[\\/]", place) else str(base / path)


def table_of(value: object, where: str) -> dict[str, Any]:
    """A value that must be a table. Raises `ConfigError`."""
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be a table")
    return value


def check_names(table: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Raise `ConfigError` for a name that is not known there."""
    for name in table:
        if name not in known:
            raise ConfigError(f"{where} {name} is unknown", cure=f"Known: {', '.join(sorted(known))}")


def resolve_secret(value: str, environ: Mapping[str, str], base: Path) -> str:
    """`env:NAME` and `file:PATH` (relative to the settings file) become what they point at."""
    if value.startswith("env:"):
        name = value.removeprefix("env:")
        if name not in environ:
            raise ConfigError(
                f"the environment variable {name} is not set", cure="Set it, or name another in trueup.toml"
            )
        return environ[name]
    if value.startswith("file:"):
        file = base / value.removeprefix("file:")
        try:
            return file.read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise _unreadable(f"the secret file {file}", error) from error
    return value


def _job(name: str, table: dict[str, Any], stores: Mapping[str, StoreConfig], base: Path) -> SyncJob:
    where = f"[sync.{name}]"
    left, right = (_place(table, side, where, base, stores) for side in ("left", "right"))
    options = {key: value for key, value in table.items() if key not in {"left", "right"}}
    return SyncJob(left=left, right=right, options=sync_config(options, where=where))


def sync_config(values: Mapping[str, Any], *, where: str = "") -> SyncConfig:
    """A `SyncConfig` from loosely typed values (TOML, or text out of the environment). Raises `ConfigError`."""
    defaults = SyncConfig()
    known: dict[str, Any] = {}
    for key, value in values.items():
        if key not in SyncConfig.__slots__:
            raise ConfigError(
                f"{where} {key} is unknown", cure=f"Known: left, right, {', '.join(SyncConfig.__slots__)}"
            )
        default = getattr(defaults, key)
        if isinstance(default, bool):
            known[key] = parse_boolean(value, where=f"{where} {key}")
        elif key == "bwlimit":
            known[key] = parse_size(str(value))
        elif isinstance(default, int):
            if not str(value).isdecimal():
                raise ConfigError(f"{where} {key} = {value!r} is not a whole number")
            known[key] = int(value)
        elif isinstance(default, tuple):
            if not isinstance(value, str | list | tuple):
                raise ConfigError(f"{where} {key} = {value!r} is not a list")
            listed = value.split(",") if isinstance(value, str) else map(str, value)
            known[key] = tuple(part.strip() for part in listed) if key == "preserve" else tuple(listed)
        else:
            known[key] = str(value)
    return SyncConfig(**known)
