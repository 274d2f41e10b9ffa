"""An application's own table or collection as books. It is read, and never written."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from trueup.errors import ConfigError, MissingExtra, TrueupError
from trueup.keys import normal
from trueup.reconcile.compare import Believed
from trueup.reconcile.config import ReferenceConfig
from trueup.reconcile.observe import Reference
from trueup.reconcile.report import Totals
from trueup.reconcile.sort import believed, plain, scratch

if TYPE_CHECKING:
    import sqlalchemy as sa

_COLUMNS: Final = ("provider", "key", "size", "md5", "created_at")
_CHUNK: Final = 5000
_MOST: Final = (1 << 63) - 1
"""Bytes; what no object has is a mistake."""
ACTIVE_STORAGE: Final = (
    "select service_name as provider, key, byte_size as size, checksum as md5, created_at from active_storage_blobs"
)
"""Where Rails keeps its uploads."""

Row = Mapping[str, Any]


class Table:
    """The rows of one reference, read once, by provider and in the order of listings; outside memory."""

    section = "stores"

    def __init__(self, config: ReferenceConfig) -> None:
        self._config = config
        self._db = scratch()
        self._db.execute(
            "create table row (provider text, normal blob, key blob, size integer, text text,"
            " primary key (provider, normal, key)) without rowid"
        )
        self._db.execute("begin")
        self._read, self._again = _source(config)

    def load(self) -> None:
        """Read all of it. Raises `ConfigError` for rows that do not say what is needed, and `TrueupError`."""
        self._db.executemany("insert or replace into row values (?, ?, ?, ?, ?)", map(self._stored, self._read()))
        if not self.providers():
            raise TrueupError(
                f"{_where(self._config)} gives no rows, so nothing can be said",
                cure='Check its query, or write provider = "…" where an empty one is right',
            )

    def close(self) -> None:
        """Forget all."""
        self._db.close()

    def providers(self) -> list[str]:
        """Where the rows say their objects are."""
        found = {name for (name,) in self._db.execute("select distinct provider from row")}
        return sorted(found | {self._config.provider} - {""})

    def totals(self, provider: str) -> Totals:
        """What the rows of a provider add up to."""
        count, size = self._db.execute(
            "select count(*), coalesce(sum(size), 0) from row where provider = ?", (provider,)
        ).fetchone()
        return Totals(count, size)

    def reference(self, provider: str) -> Reference:
        """The rows of one provider as books."""

        def rows() -> Iterator[Believed]:
            found = self._db.execute("select text from row where provider = ? order by normal, key", (provider,))
            for (text,) in found:
                row = believed(text)
                assert row is not None
                yield row

        def again(keys: Sequence[str]) -> dict[str, Believed]:
            found = (self._told(row) for row in self._again(keys))
            return {row.key: row for where, row in found if where == provider}

        return Reference(rows, again, lambda _: set())

    def _stored(self, given: Row) -> tuple[str, bytes, bytes, int, str]:
        provider, row = self._told(given)
        key = row.key.encode("utf-8", "surrogatepass")
        return provider, normal(row.key).encode("utf-8", "surrogatepass"), key, row.size or 0, plain(row)

    def _told(self, given: Row) -> tuple[str, Believed]:
        """What one row says."""
        key, size, at = given.get("key"), _whole(given.get("size")), given.get("created_at")
        if not isinstance(key, str) or not _is_size(size):
            raise ConfigError(
                f"[reconcile.references.{self._config.name}] gives a row without a usable key or size",
                cure="Let it give the columns key (text) and size (a whole number, or nothing)",
            )
        provider = given.get("provider") or self._config.provider
        if not isinstance(provider, str) or not provider:
            raise ConfigError(
                f"[reconcile.references.{self._config.name}] does not say where its objects are",
                cure='Let it give a column provider, or write provider = "…"',
            )
        return provider, Believed(key, size, _hex(given.get("md5")), _moment(at))


def _is_size(size: object) -> TypeGuard[int | None]:
    return size is None or (isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= _MOST)


def _whole(given: object) -> object:
    """A number, which JavaScript and `numeric` columns give as one with a fraction of nothing."""
    if isinstance(given, float | Decimal):
        return int(given) if math.isfinite(given) and given == int(given) else given
    return given


def _hex(given: object) -> str:
    """An MD5 in hex, which Rails and some others keep in Base64; empty for what is none."""
    text = str(given or "")
    if len(text) == 24 and text.endswith("=="):
        try:
            return base64.b64decode(text, validate=True).hex()
        except binascii.Error:
            return ""
    return text.lower() if len(text) == 32 else ""


def _moment(given: object) -> datetime | None:
    """A time in UTC; one without a zone is."""
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given)
        except ValueError:
            return None
    if not isinstance(given, datetime):
        return None
    return given.astimezone(UTC) if given.tzinfo is not None else given.replace(tzinfo=UTC)


_Source = tuple[Callable[[], Iterable[Row]], Callable[[Sequence[str]], Iterable[Row]]]


def _source(config: ReferenceConfig) -> _Source:
    if config.collection:
        return _mongo(config)
    return _sql(config)


def _sql(config: ReferenceConfig) -> _Source:
    import sqlalchemy as sa

    query = ACTIVE_STORAGE if config.preset == "active-storage" else config.query.rstrip().rstrip(";")
    everything = sa.text(query)
    some = sa.text(f"select * from ({query}\n) as reference where reference.key in :keys").bindparams(  # noqa: S608 - theirs
        sa.bindparam("keys", expanding=True)
    )

    @contextmanager
    def opened() -> Iterator[sa.Connection]:
        url = config.database
        if url.startswith(("postgres://", "postgresql://")):
            url = "postgresql+psycopg://" + url.partition("://")[2]
        engine = None
        try:
            engine = sa.create_engine(_checked(sa.make_url(url), config))
            with engine.connect() as db:
                yield db.execution_options(**_read_only(db), stream_results=True, yield_per=_CHUNK)
        except ModuleNotFoundError as error:
            raise MissingExtra(f"a database of {url.partition(':')[0]}", "postgres") from error
        except (ValueError, sa.exc.ArgumentError):  # what they say may hold a part of the password
            raise _no_url(config) from None
        except (sa.exc.SQLAlchemyError, OSError) as error:
            said = str(getattr(error, "orig", None) or error).partition("\n")[0]
            raise TrueupError(
                f"[reconcile.references.{config.name}] cannot be read: {said}", cure="Check its database and query"
            ) from error
        finally:
            if engine is not None:
                engine.dispose()

    def read() -> Iterator[Row]:
        with opened() as db:
            for row in db.execute(everything).mappings():
                yield dict(row)

    def again(keys: Sequence[str]) -> Iterator[Row]:
        with opened() as db:
            for row in db.execute(some, {"keys": list(keys)}).mappings():
                yield dict(row)

    return read, again


def _checked(url: sa.URL, config: ReferenceConfig) -> sa.URL:
    """The same; opening a file of SQLite that is not there would make it."""
    file = url.database or ""
    if url.get_backend_name() == "sqlite" and not file.startswith("file:") and not Path(file).is_file():
        raise TrueupError(
            f"{_where(config)} cannot be read: {file or 'its file'} is not there", cure="Check its database"
        )
    return url


def _no_url(config: ReferenceConfig) -> ConfigError:
    return ConfigError(
        f"{_where(config)} database is no URL", cure="Write it like postgresql://user@host/name, the password quoted"
    )


def _where(config: ReferenceConfig) -> str:
    return f"[reconcile.references.{config.name}]"


def _read_only(db: Any) -> dict[str, object]:  # noqa: ANN401 - a SQLAlchemy connection
    """Options that let the database itself refuse a write."""
    if db.dialect.name == "postgresql":
        return {"postgresql_readonly": True}
    if db.dialect.name == "sqlite":
        db.exec_driver_sql("pragma query_only = on")
    return {}


def _mongo(config: ReferenceConfig) -> _Source:
    try:
        from pymongo import MongoClient
        from pymongo.errors import InvalidURI, PyMongoError
    except ModuleNotFoundError:
        raise MissingExtra("a MongoDB database", "mongo") from None
    names = {column: config.fields.get(column, column) for column in _COLUMNS}

    def find(condition: dict[str, Any]) -> Iterator[Row]:
        try:
            with MongoClient[dict[str, Any]](config.database, tz_aware=True, serverSelectionTimeoutMS=10_000) as client:
                collection = client.get_default_database()[config.collection]
                for document in collection.find(condition, list(names.values()), batch_size=_CHUNK):
                    yield {column: document.get(name) for column, name in names.items()}
        except (ValueError, InvalidURI):  # what they say may hold a part of the password
            raise _no_url(config) from None
        except PyMongoError as error:
            raise TrueupError(
                f"[reconcile.references.{config.name}] cannot be read: {str(error).partition(',')[0]}",
                cure="Check its database",
            ) from error

    return lambda: find({}), lambda keys: find({names["key"]: {"$in": list(keys)}})
