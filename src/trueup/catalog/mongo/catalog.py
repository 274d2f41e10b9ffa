"""Opening a MongoDB database: its client, its indexes, and what is kept in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pymongo import MongoClient, ReadPreference
from pymongo.database import Database
from pymongo.errors import InvalidURI
from pymongo.write_concern import WriteConcern

from trueup.catalog.base import Catalog, Limits
from trueup.catalog.mongo.books import Books
from trueup.catalog.mongo.corrections import MongoCorrections
from trueup.catalog.mongo.downloads import MongoDownloads
from trueup.catalog.mongo.indexes import REVISION, make_indexes
from trueup.catalog.mongo.ledger import MongoLedger
from trueup.catalog.mongo.locks import MongoLocks
from trueup.catalog.mongo.outbox import MongoOutbox
from trueup.catalog.mongo.runs import MongoRunLog
from trueup.catalog.mongo.tasks import MongoTasks
from trueup.catalog.mongo.trouble import plainly
from trueup.errors import ConfigError

_NAME: Final = "trueup"
"""The database of a URL that names none."""
_WAIT_MILLISECONDS: Final = 10_000


class MongoCatalog:
    """See `Catalog`."""

    def __init__(self, client: MongoClient[dict[str, Any]], limits: Mapping[str, Limits]) -> None:
        self._client = client
        database = _database(client)
        make_indexes(database)
        self.ledger = MongoLedger(database, limits)
        self.corrections = MongoCorrections(database, Books(limits))
        self.outbox = MongoOutbox(database)
        self.downloads = MongoDownloads(database)
        self.runs = MongoRunLog(database)
        self.tasks = MongoTasks(database)
        self.locks = MongoLocks(database)

    @plainly()
    def clock(self) -> datetime:
        """See `Catalog`."""
        # Of the options of the client, a command takes none by itself.
        told: datetime = self._client.admin.command("hello", codec_options=self._client.codec_options)["localTime"]
        return told

    def version(self) -> None:
        """See `Catalog`."""

    def close(self) -> None:
        """See `Catalog`."""
        self._client.close()


def open_mongo(url: str, limits: Mapping[str, Limits]) -> Catalog:
    """The catalog in a MongoDB database, with its indexes made. Raises `ConfigError` and `TrueupError`."""
    client = _client(url)
    try:
        with plainly():
            return MongoCatalog(client, limits)
    except BaseException:
        client.close()
        raise


def upgrade(url: str) -> str:
    """Make the indexes, as opening it does: here they can be made before anybody waits for them. What it then has."""
    with _client(url) as client, plainly():
        make_indexes(_database(client))
    return REVISION


def check(url: str) -> str:
    """The database in words; nothing is made. Raises as `open_mongo` does."""
    with _client(url) as client, plainly():
        database = _database(client)
        database.command("ping")
        return f"the MongoDB database {database.name} answers"


def _client(url: str) -> MongoClient[dict[str, Any]]:
    try:
        with plainly():
            return MongoClient(
                url, serverSelectionTimeoutMS=_WAIT_MILLISECONDS, tz_aware=True, tzinfo=UTC, appname="trueup"
            )
    except (ValueError, TypeError, InvalidURI):  # what they say may hold a part of the password
        raise _no_url() from None


def _no_url() -> ConfigError:
    return ConfigError("[database] url is no MongoDB URL", cure="Write it like mongodb://user@host/name")


def _database(client: MongoClient[dict[str, Any]]) -> Database[dict[str, Any]]:
    # What is promised must outlive a failover, and what is decided from must be the newest: whatever the URL says.
    return client.get_default_database(
        _NAME, read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern(w="majority")
    )
