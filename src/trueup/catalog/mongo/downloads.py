"""What was fetched, in MongoDB.

The collection may be that of an application that had it before: its ids are ObjectIds, it knew one provider, and times
may be missing. What it wrote stays as it is.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from bson import ObjectId
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from trueup.catalog.base import COMPLETED, FAILED, OURS, RUNNING, Download, now
from trueup.catalog.mongo.trouble import plainly
from trueup.errors import Busy

_PAGE: Final = 1000
_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)
_FIRST_PROVIDER: Final = "gcs"
"""Where the objects lie of records that name no provider."""


def _time(of: str, otherwise: object) -> dict[str, Any]:
    """A field as a time; an ObjectId is one as well."""
    return {"$convert": {"input": of, "to": "date", "onError": otherwise, "onNull": otherwise}}


_CREATED: Final = _time("$createdAt", _time("$_id", _LONG_AGO))
_WITH_TIMES: Final = {"$set": {"createdAt": _CREATED, "updatedAt": _time("$updatedAt", _CREATED)}}


class MongoDownloads:
    """See `Downloads`."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self._downloads = database["downloads"]

    @plainly()
    def begin(self, url: str, *, abandoned_before: datetime) -> Download:
        at = now()
        running = hashlib.sha256(url.encode()).hexdigest()
        new = Download(f"{OURS}{uuid.uuid4().hex}", url, RUNNING, "", "", 0, "", at, at)
        self._downloads.update_one(
            # Only where the kind is said as well does the server look into the index.
            {"running": {"$eq": running, "$type": "string"}, "updatedAt": {"$lt": abandoned_before}},
            {"$set": {"status": FAILED, "error": "nobody went on with it"}, "$unset": {"running": ""}},
        )
        facts = {"url": url, "status": RUNNING, "storageProvider": "", "fileSize": 0, "key": "", "error": ""}
        times = {"createdAt": at, "updatedAt": at}
        try:
            self._downloads.insert_one({"_id": new.id, **facts, **times, "running": running})
        except DuplicateKeyError:
            raise Busy("this URL is being fetched already", cure="Wait for that to end") from None
        return new

    def alive(self, download: str) -> bool:
        return self._changed(download, {"$set": {"updatedAt": now()}})

    def complete(self, download: str, *, provider: str, key: str, size: int) -> bool:
        done = {"status": COMPLETED, "storageProvider": provider, "key": key, "fileSize": size, "updatedAt": now()}
        return self._changed(download, {"$set": done, "$unset": {"running": ""}})

    def fail(self, download: str, error: str) -> None:
        over = {"status": FAILED, "error": error, "updatedAt": now()}
        self._changed(download, {"$set": over, "$unset": {"running": ""}})

    @plainly()
    def _changed(self, download: str, change: dict[str, Any]) -> bool:
        """Change a record that is running; whether it was."""
        return bool(self._downloads.update_one({**_named(download), "status": RUNNING}, change).matched_count)

    def get(self, download: str) -> Download | None:
        return next(iter(self._select(_named(download))), None)

    def latest(self, url: str) -> Download | None:
        newest = {"$sort": {"createdAt": -1, "_id": 1}}
        found = self._select({"url": {"$eq": url}, "status": COMPLETED}, newest, {"$limit": 1})
        return next(iter(found), None)

    def ls(self, limit: int = 50) -> list[Download]:
        return self._select({}, {"$sort": {"createdAt": -1, "_id": 1}}, {"$limit": limit})

    def older(self, status: str, than: datetime) -> Iterator[Download]:
        this = {"$match": {"updatedAt": {"$lt": than}}}
        page: list[dict[str, Any]] = [{"$sort": {"updatedAt": 1, "_id": 1}}, {"$limit": _PAGE}]
        of_status = {"status": {"$eq": status}}
        rows = self._select(of_status, this, *page)
        while rows:  # pages, so that no cursor stays open while the caller works
            yield from rows
            at, last = rows[-1].updated_at, {"$literal": _id(rows[-1].id)}
            # Compared as expressions: a filter compares an ObjectId with nothing but its like.
            same = {"$and": [{"$eq": ["$updatedAt", at]}, {"$gt": ["$_id", last]}]}
            after = {"$match": {"$expr": {"$or": [{"$gt": ["$updatedAt", at]}, same]}}}
            rows = self._select(of_status, this, after, *page)

    @plainly()
    def remove(self, download: str) -> None:
        self._downloads.delete_one(_named(download))

    @plainly()
    def _select(self, wanted: dict[str, Any], *stages: dict[str, Any]) -> list[Download]:
        found = self._downloads.aggregate([{"$match": wanted}, _WITH_TIMES, *stages])
        return [_download(document) for document in found]


def _named(download: str) -> dict[str, Any]:
    """The record of an id, whichever kind it is."""
    return {"_id": {"$in": [download, _id(download)]}}


def _id(download: str) -> object:
    return ObjectId(download) if ObjectId.is_valid(download) else download


def _download(document: dict[str, Any]) -> Download:
    provider = document.get("storageProvider")
    return Download(
        id=str(document["_id"]),
        url=str(document.get("url") or ""),
        status=str(document.get("status") or ""),
        provider=_FIRST_PROVIDER if provider is None else str(provider),
        key=str(document.get("key") or ""),
        size=int(document.get("fileSize") or 0),
        error=str(document.get("error") or ""),
        created_at=document["createdAt"],
        updated_at=document["updatedAt"],
    )
