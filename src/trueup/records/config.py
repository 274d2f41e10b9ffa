"""What `[records]` means."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from trueup.config import Settings, check_names, local_path, parse_boolean, parse_seconds, resolve_secret, table_of
from trueup.errors import ConfigError, UsageError
from trueup.records.cells import folded
from trueup.records.locales import NumberForm, number_form
from trueup.records.merge import LATEST, MAX, PARSED, RULES, SHEET, SUM
from trueup.urls.rules import WORDS, Rules, parse_rules

GOOGLE: Final = "google"
CSV: Final = "csv"
READ_MODEL: Final = "readmodel"
SQL: Final = "sql"
HTTP: Final = "http"
PYTHON: Final = "python"
SOFT_DELETE: Final = "soft-delete"
KEEP: Final = "keep"
COLUMNS: Final = frozenset("id project_id key profile_url deleted_at account_id snapshot_time local_date date".split())
"""Of the read model's own, and of what is told of an account beside its fields; no field may be called so."""

_KNOWN: Final = frozenset("database timezone key on_missing fields sheets projects parsed".split())
# What belongs to the other kind may stay there while one is tried.
_OF_SHEETS: Final = frozenset("kind path locale endpoint timeout deadline write_back credentials spreadsheet".split())
_OF_PARSED: Final = {
    READ_MODEL: frozenset({"kind"}),
    CSV: frozenset("kind path locale".split()),
    SQL: frozenset("kind database query".split()),
    HTTP: frozenset({*"kind url headers rows fields".split(), *WORDS}),
    PYTHON: frozenset("kind function".split()),
}
_OWN_HEADERS: Final = frozenset("Accept-Encoding Connection Content-Length Host Te Transfer-Encoding Upgrade".split())
"""What a request says of itself."""
_MOST_FIELDS: Final = 100
"""A table of SQLite has 2,000 columns, and a person sees fewer."""
_OF_A_PROJECT: Final = frozenset({"id", "name", "active"})
FIELDS: Final = dict.fromkeys("followers likes comments videos views".split(), MAX)
"""Where the settings name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One column that is merged."""

    name: str
    rule: str = MAX
    text: bool = False
    """Any text; else a whole number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One `[[records.projects]]`."""

    id: str
    name: str
    """That of its tab as well."""
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetsConfig:
    """`[records.sheets]`: where people edit."""

    kind: str = GOOGLE
    path: str = ""
    """Of a CSV file, where `{name}` is the project's."""
    form: NumberForm
    """How numbers are written in a CSV file; Google tells for each spreadsheet."""
    endpoint: str = "https://sheets.googleapis.com"
    timeout: float = 20.0
    """Seconds for one request."""
    deadline: float = 60.0
    """Seconds for all tries of one."""
    write_back: bool = False
    credentials: str = field(default="", repr=False)
    """As written, `env:` and `file:` included: only who asks Google needs them."""
    spreadsheet: str = ""
    """Its id or its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedConfig:
    """`[records.parsed]`: where fresh numbers come from."""

    kind: str = READ_MODEL
    path: str = ""
    form: NumberForm
    database: str = field(default="", repr=False)
    query: str = ""
    """With `:name` and `:id` of the project."""
    url: str = field(default="", repr=False)
    """With `{name}` for the project's."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What is sent to the host of the URL alone; names like `X-Api-Key`, secrets resolved."""
    rules: Rules
    rows: str = ""
    """Where the list of them is in the answer: names with dots between; empty for the answer itself."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Where each field, and the key, is in a row, if not under its own name."""
    function: str = ""
    """`module:function`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsConfig:
    """All of `[records]`."""

    database: Path
    base: Path
    """The folder of the settings file."""
    zone: ZoneInfo
    key: str = "profile_url"
    """The column of a sheet that says whose row it is."""
    delete_missing: bool = True
    fields: Mapping[str, Field]
    sheets: SheetsConfig
    parsed: ParsedConfig
    projects: tuple[Project, ...] = ()

    def project(self, word: str) -> Project:
        """A project by its id or its name. Raises `UsageError`."""
        for project in self.projects:
            if word in {project.id, project.name}:
                return project
        known = ", ".join(project.name for project in self.projects) or "none"
        raise UsageError(f"there is no project '{word}'", cure=f"Known: {known}")


def records_config(settings: Settings, overrides: Mapping[str, object] | None = None) -> RecordsConfig:
    """`overrides` are laid over the section: `database`, and `credentials` and `spreadsheet` of its sheets. Raises
    `ConfigError`."""
    given = dict(overrides or {})
    section = table_of(settings.sections.get("records", {}), "[records]")
    check_names(section, _KNOWN, "[records]")
    if "database" in given:
        section = section | {"database": str(given.pop("database"))}
    base = settings.path.resolve().parent if settings.path is not None else Path.cwd()
    database = _database(_text(section, "database", "[records]", "accounts.db"), base)
    zone = _zone(str(section.get("timezone", "UTC")))
    key = _text(section, "key", "[records]", "profile_url")
    on_missing = _one_of(section, "on_missing", (SOFT_DELETE, KEEP), SOFT_DELETE, "[records]")
    listed = table_of(section.get("fields", FIELDS), "[records.fields]")
    parsed = _parsed(table_of(section.get("parsed", {}), "[records.parsed]"), settings, base, {key, *listed})
    fields = _fields(listed, key, parsed.kind)
    projects = _projects(section.get("projects", []))
    sheets = _sheets(table_of(section.get("sheets", {}), "[records.sheets]") | given, base)
    _files(projects, (sheets.path, parsed.path))
    return RecordsConfig(
        database=database,
        base=base,
        zone=zone,
        key=key,
        delete_missing=on_missing == SOFT_DELETE,
        fields=fields,
        sheets=sheets,
        parsed=parsed,
        projects=projects,
    )


def _database(given: str, base: Path) -> Path:
    path = given.removeprefix("sqlite:///")
    if not path or "://" in path:
        raise ConfigError(
            f"[records] database = {given!r} is no file", cure='Write a file for SQLite, like "accounts.db"'
        )
    return base / local_path(path, where="[records] database = ")


def _zone(given: str) -> ZoneInfo:
    try:
        return ZoneInfo(given)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # the last two: names that are paths
        raise ConfigError(
            f"[records] timezone = {given!r} is unknown", cure='Write it like "Europe/Berlin" or "UTC"'
        ) from None


def _fields(table: Mapping[str, object], key: str, parsed: str) -> dict[str, Field]:
    if not table:
        raise ConfigError("[records.fields] is empty", cure='Name a column and its rule: followers = "max"')
    if len(table) > _MOST_FIELDS:
        raise ConfigError(f"[records.fields] names {len(table)} columns", cure=f"Name {_MOST_FIELDS} at most")
    found = {name: _field(name, given, parsed) for name, given in table.items()}
    named: dict[str, str] = {}
    for name in (key, *found):
        if other := named.get(folded(name)):
            raise ConfigError(f"[records.fields] {name}: no header tells it from {other}", cure="Give it another name")
        named[folded(name)] = name
    return found


def _field(name: str, given: object, parsed: str) -> Field:
    where = f"[records.fields] {name}"
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name) or name in COLUMNS:
        raise ConfigError(
            f"{where} cannot be a field's name",
            cure="Use up to 63 small letters, digits and _, and no column of its own",
        )
    table = {"rule": given} if isinstance(given, str) else table_of(given, where)
    check_names(table, {"rule", "type"}, where)
    rule = _one_of(table, "rule", RULES, MAX, where)
    text = _one_of(table, "type", ("number", "text"), "number", where) == "text"
    if text and rule not in {SHEET, PARSED, LATEST}:
        raise ConfigError(f"{where}: the rule {rule} needs numbers", cure="For a text use sheet, parsed or latest")
    if rule in {LATEST, SUM} and parsed == READ_MODEL:
        raise ConfigError(
            f"{where}: the rule {rule} needs two sources, and the read model is none",
            cure="Say in [records.parsed] where fresh numbers come from",
        )
    return Field(name=name, rule=rule, text=text)


def _sheets(table: Mapping[str, Any], base: Path) -> SheetsConfig:
    where = "[records.sheets]"
    kind = _one_of(table, "kind", (GOOGLE, CSV), GOOGLE, where)
    check_names(table, _OF_SHEETS, where)
    endpoint = str(table.get("endpoint", "https://sheets.googleapis.com")).rstrip("/")
    if not _is_url(endpoint):
        raise ConfigError(f"{where} endpoint = {endpoint!r} is no URL", cure="Leave it out for Google's own")
    return SheetsConfig(
        kind=kind,
        path=_path(table, where, base) if kind == CSV else "",
        form=_form(table, where),
        endpoint=endpoint,
        timeout=parse_seconds(str(table.get("timeout", "20s")), where=f"{where} timeout"),
        deadline=parse_seconds(str(table.get("deadline", "60s")), where=f"{where} deadline"),
        write_back=parse_boolean(table.get("write_back", False), where=f"{where} write_back"),
        credentials=str(table.get("credentials", "")),
        spreadsheet=_text(table, "spreadsheet", where) if kind == GOOGLE else "",
    )


def _parsed(table: Mapping[str, Any], settings: Settings, base: Path, known: Collection[str]) -> ParsedConfig:
    """`known` are the names of the fields, and of the key."""
    where = "[records.parsed]"
    kind = _one_of(table, "kind", tuple(_OF_PARSED), READ_MODEL, where)
    check_names(table, _OF_PARSED[kind], where)
    url, function = str(table.get("url", "")), str(table.get("function", ""))
    if kind == HTTP and not _is_url(url.replace("{name}", "name")):
        raise ConfigError(
            f"{where} url is none", cure='Write it like "https://api.example.com/accounts?project={name}"'
        )
    if kind == PYTHON and not all(function.partition(":")[::2]):
        raise ConfigError(
            f"{where} function = {function!r} names no function", cure='Write it like "package.module:function"'
        )
    return ParsedConfig(
        kind=kind,
        path=_path(table, where, base) if kind == CSV else "",
        form=_form(table, where),
        database=_database_url(_text(table, "database", where), settings, base) if kind == SQL else "",
        query=_text(table, "query", where).strip().rstrip(";") if kind == SQL else "",
        url=url,
        headers=_headers(table_of(table.get("headers", {}), f"{where} headers"), settings, base),
        rules=parse_rules(table, where, max_size="64MiB", timeout="60s"),
        rows=_steps(table.get("rows", ""), f"{where} rows") if "rows" in table else "",
        fields=_places(table_of(table.get("fields", {}), f"{where} fields"), known),
        function=function,
    )


def _places(table: Mapping[str, object], known: Collection[str]) -> dict[str, str]:
    where = "[records.parsed] fields"
    check_names(table, known, where)
    return {name: _steps(path, f"{where} {name}") for name, path in table.items()}


def _steps(path: object, where: str) -> str:
    """Names with dots between."""
    if not isinstance(path, str) or not all(path.split(".")):
        raise ConfigError(f"{where} = {path!r} leads nowhere", cure='Write names with dots between, like "data.items"')
    return path


def _headers(table: Mapping[str, object], settings: Settings, base: Path) -> dict[str, str]:
    where, headers = "[records.parsed] headers", {}
    for name, given in table.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or name.title() in _OWN_HEADERS:
            raise ConfigError(f"{where}: {name!r} cannot be sent", cure='Name one like Authorization or "X-Api-Key"')
        value = resolve_secret(str(given), settings.environ, base).strip()
        if not re.fullmatch(r"[\t\x20-\x7e\xa0-\xff]+", value):  # not shown: it is a secret
            raise ConfigError(f"{where} {name} is empty, or holds what no header can", cure="Write it in one line")
        headers[name.title()] = value
    return headers


def _database_url(given: str, settings: Settings, base: Path) -> str:
    url = resolve_secret(given, settings.environ, base)
    found = re.fullmatch(r"sqlite:///([^/:].*)", url)
    return f"sqlite:///{base / found[1]}" if found else url


def _projects(given: object) -> tuple[Project, ...]:
    where = "[[records.projects]]"
    if not isinstance(given, list):
        raise ConfigError(f"projects are written {where}, one for each")
    projects = []
    for one in given:
        table = table_of(one, where)
        check_names(table, _OF_A_PROJECT, where)
        active = parse_boolean(table.get("active", True), where=f"{where} active")
        projects.append(Project(id=_text(table, "id", where), name=_text(table, "name", where), active=active))
    words = Counter(word for project in projects for word in {project.id, project.name})
    for word, count in words.items():
        if count > 1:
            raise ConfigError(f"{where}: two of them are called {word!r}", cure="Give each its own id and name")
    return tuple(projects)


def _files(projects: tuple[Project, ...], paths: tuple[str, ...]) -> None:
    """See that a project's name leads to no other folder."""
    for path in paths:
        for project in projects if "{name}" in path else ():
            if not re.fullmatch(r"(?!\.)[^/\\\0]+", project.name):
                raise ConfigError(
                    f"[[records.projects]] name = {project.name!r} is no file's name", cure=f"It stands in {path}"
                )


def _path(table: Mapping[str, Any], where: str, base: Path) -> str:
    return str(base / local_path(_text(table, "path", where), where=f"{where} path = "))


def _form(table: Mapping[str, Any], where: str) -> NumberForm:
    locale = str(table.get("locale", "en_US"))
    form = number_form(locale)
    if form is None:
        raise ConfigError(f"{where} locale = {locale!r} is unknown", cure='Write it like "en_US" or "de_DE"')
    return form


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _text(table: Mapping[str, Any], key: str, where: str, default: str = "") -> str:
    given = table.get(key, default)
    if not isinstance(given, str) or not given.strip():
        raise ConfigError(f"{where} has no {key}", cure="Write it in quotes")
    return given.strip()


def _one_of(table: Mapping[str, Any], key: str, allowed: tuple[str, ...], default: str, where: str) -> str:
    given = str(table.get(key, default))
    if given not in allowed:
        raise ConfigError(f"{where} {key} = {given!r} is unknown", cure=f"Use one of: {', '.join(allowed)}")
    return given
