"""`[reconcile.references.NAME]`: an application's own table in SQL, or its collection in MongoDB. It is read, and never
written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trueup.config import Settings, StoreConfig
from trueup.errors import ConfigError, MissingExtra, TrueupError
from trueup.pool.config import pool_config
from trueup.reconcile.config import ReferenceConfig, reconcile_config
from trueup.reconcile.source import Row, Source

if TYPE_CHECKING:
    import sqlalchemy as sa

_COLUMNS: Final = ("provider", "key", "size", "md5", "created_at")
_CHUNK: Final = 5000
ACTIVE_STORAGE: Final = (
    "select service_name as provider, key, byte_size as size, checksum as md5, created_at from active_storage_blobs"
)
"""Where Rails keeps its uploads."""

_Read = Callable[[], Iterable[Row]]
_Again = Callable[[str, Sequence[str]], Iterable[Row]]
_Asked = tuple[_Read, _Again, Callable[[], datetime | None]]
"""All rows, those of some keys, and the database's clock."""


def referenced(name: str, settings: Settings) -> Source:
    """The books that the settings know by a name. Raises `ConfigError` and `MissingExtra`."""
    references = reconcile_config(settings).references
    if name not in references:
        known = ", ".join(sorted(references)) or "none"
        raise ConfigError(f"there is no [reconcile.references.{name}]", cure=f"Known: {known}")
    config = references[name]
    places = dict(settings.stores)
    if "pool" in settings.sections:
        places |= {provider.name: provider.store for provider in pool_config(settings).providers.values()}

    read, again, clock = _mongo(config) if config.collection else _sql(config)
    return Source(
        name=name,
        where=f"[reconcile.references.{name}]",
        identity=f"{config.database} {name}",
        read=read,
        again=again,
        clock=clock,
        place=among(places),
        provider=config.provider,
    )


def among(places: Mapping[str, StoreConfig], section: str = "stores") -> Callable[[str], StoreConfig]:
    """What a provider is, by its name. One that is none of these is a `ConfigError`; `section` is where it would be."""

    def place(provider: str) -> StoreConfig:
        if provider not in places:
            raise ConfigError(f"{provider} is not in the settings", cure=f"Write a [{section}.{provider}]")
        return places[provider]

    return place


def _sql(config: ReferenceConfig) -> _Asked:
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
            engine = sa.create_engine(_checked(sa.make_url(url), config), hide_parameters=True)
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

    def again(_: str, keys: Sequence[str]) -> Iterator[Row]:
        with opened() as db:
            for row in db.execute(some, {"keys": list(keys)}).mappings():
                yield dict(row)

    def clock() -> datetime | None:
        with opened() as db:
            told: object = db.execute(sa.select(sa.func.current_timestamp())).scalar_one()
        # Without a zone nobody knows which one it is in: then it is not believed.
        return told if isinstance(told, datetime) and told.tzinfo is not None else None

    return read, again, clock


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


def _mongo(config: ReferenceConfig) -> _Asked:
    try:
        from pymongo import MongoClient
        from pymongo.errors import InvalidURI, PyMongoError
    except ModuleNotFoundError:
        raise MissingExtra("a MongoDB database", "mongo") from None
    names = {column: config.fields.get(column, column) for column in _COLUMNS}

    @contextmanager
    def opened() -> Iterator[MongoClient[dict[str, Any]]]:
        try:
            with MongoClient[dict[str, Any]](config.database, tz_aware=True, serverSelectionTimeoutMS=10_000) as client:
                yield client
        except (ValueError, InvalidURI):  # what they say may hold a part of the password
            raise _no_url(config) from None
        except PyMongoError as error:
            raise TrueupError(
                f"[reconcile.references.{config.name}] cannot be read: {str(error).partition(',')[0]}",
                cure="Check its database",
            ) from error

    def find(condition: dict[str, Any]) -> Iterator[Row]:
        with opened() as client:
            collection = client.get_default_database()[config.collection]
            for document in collection.find(condition, list(names.values()), batch_size=_CHUNK):
                yield {column: document.get(name) for column, name in names.items()}

    def clock() -> datetime:
        with opened() as client:
            told: datetime = client.admin.command("hello", codec_options=client.codec_options)["localTime"]
            return told

    return lambda: find({}), lambda _, keys: find({names["key"]: {"$in": list(keys)}}), clock
