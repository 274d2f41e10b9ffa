"""What a cloud's manifest says of one inventory report. Nothing here does I/O.

S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
Azure: https://learn.microsoft.com/azure/storage/blobs/blob-inventory
Google: https://cloud.google.com/storage/docs/insights/inventory-reports
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from trueup import keys
from trueup.errors import ConfigError, ListingUnfinished
from trueup.stores.place import Place

S3: Final = "s3"
AZURE: Final = "azblob"
GOOGLE: Final = "gcs"

AGAIN: Final = "Nothing was concluded from it; the next report may be whole"
_FORMATS: Final = ("csv", "parquet")
# What the name of a manifest says: when the report was begun, and which file the cloud writes last.
_MANIFESTS: Final = (
    re.compile(r"(?:.*/)?(?P<at>\d{4}-\d\d-\d\dT\d\d-\d\dZ)/manifest\.json"),
    re.compile(r"(?:.*/)?(?P<at>\d{4}/\d\d/\d\d/\d\d-\d\d-\d\d)/(?P<rule>[^/]+)/(?P=rule)-manifest\.json"),
    re.compile(r"(?:.*/)?[0-9a-fA-F-]{36}_(?P<at>\d{4}-\d\d-\d\dT[\d:]+)Z?_manifest\.json"),
)
_NO_CHECKSUM: Final = "_manifest.json"
"""Google writes the manifest itself last."""

_ONLY_WITH_FOLDERS: Final = frozenset({"hdi_isfolder", "owner", "group", "permissions", "acl", "expiry-time"})
"""Fields that Azure writes only for accounts with a hierarchical namespace, where a rule cannot ask for page blobs."""


class DataFile(NamedTuple):
    """One file of rows."""

    key: str
    """Where it lies, seen from where the manifest's own key is."""
    size: int | None = None
    """Bytes, and hex MD5; where the manifest tells."""
    md5: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report, as its manifest describes it."""

    service: str
    """Whose it is: `s3`, `azblob` or `gcs`, as OpenDAL names them."""
    bucket: str
    """What was listed; empty where only the rows say."""
    created_at: datetime
    """When the cloud began to look: what changed since may be in it or not. UTC."""
    format: str
    """`csv` or `parquet`."""
    columns: tuple[str, ...] = ()
    """The names of a CSV without a header; empty where the files tell."""
    files: tuple[DataFile, ...]
    rows: int | None = None
    """How many there are at least, where the manifest tells."""
    account: str = ""
    """Azure: the endpoint of the account."""
    gap: str = ""
    """Azure: which part of an account is left out, in words; empty where nothing is."""
    prefixes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """Azure: the beginnings of names (with their container) that the rule takes, if not all, and those it does not."""

    def misses(self, place: Place) -> str:
        """Why this is no listing of a place, in words; empty if it is one."""
        if self.service != place.service:
            return f"it was not written for a place like {place.url}"
        if self.service == AZURE:
            return self._misses_azure(place)
        if self.bucket and self.bucket != place.bucket:
            return f"it is about the bucket {keys.display(self.bucket)}"
        return ""

    def _misses_azure(self, place: Place) -> str:
        account = place.options.get("account_name", "")
        if self.account and account and account not in re.split(r"[/:.]+", self.account):
            return f"it is about the account at {keys.display(self.account)}"
        scope = f"{place.bucket}/{place.prefix}"
        if self.prefixes and not scope.startswith(self.prefixes):
            return f"its rule takes only what begins with {_listed(self.prefixes)}"
        out = [prefix for prefix in self.left_out if scope.startswith(prefix) or prefix.startswith(scope)]
        return f"its rule leaves out what begins with {_listed(out)}" if out else self.gap


def began(key: str) -> str:
    """When the report of a manifest was begun, as text that sorts, if the key is that of a manifest; else empty."""
    found = next(filter(None, (pattern.fullmatch(key) for pattern in _MANIFESTS)), None)
    return "".join(re.findall(r"\d", found["at"])).ljust(14, "0") if found else ""


def checksum_key(manifest: str) -> str:
    """The file that is written when the report is complete, and holds the manifest's MD5; empty where there is none."""
    return "" if manifest.endswith(_NO_CHECKSUM) else f"{manifest.removesuffix('json')}checksum"


def parse(text: bytes, key: str) -> Report:
    """The report of the manifest at a key. Raises `ListingUnfinished` for one that is not whole, and `ConfigError` for
    one that cannot be read here."""
    shown = keys.display(key)
    try:
        document = json.loads(text)
        if "sourceBucket" in document:
            return _s3(document, key)
        if "ruleDefinition" in document:
            return _azure(document, key)
        if "report_shards_file_names" in document:
            return _google(document, key)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"
        raise ListingUnfinished(f"the manifest {shown} cannot be read: {keys.display(what)}", cure=AGAIN) from error
    raise ConfigError(
        f"{shown} is not a manifest of S3 Inventory, Azure Blob Inventory or Storage Insights",
        cure="Name the folder of the reports, or a manifest.json",
    )


def _s3(document: dict[str, Any], key: str) -> Report:
    kind = _format(document["fileFormat"], key)
    folder = posixpath.dirname(posixpath.dirname(key))

    def beside(data: str) -> str:
        """Data lies in a folder beside that of the manifest, wherever the whole was copied to."""
        return posixpath.join(folder, *data.split("/")[-2:])

    return Report(
        service=S3,
        bucket=_text(document["sourceBucket"]),
        created_at=datetime.fromtimestamp(int(document["creationTimestamp"]) / 1000, UTC),
        format=kind,
        # That of Parquet is a message type, which the files tell as well.
        columns=tuple(name.strip() for name in document["fileSchema"].split(",")) if kind == "csv" else (),
        files=tuple(
            DataFile(beside(_text(file["key"])), int(file["size"]), _text(file["MD5checksum"]).lower())
            for file in document["files"]
        ),
    )


def _azure(document: dict[str, Any], key: str) -> Report:
    rule, status = document["ruleDefinition"], _text(document["status"])
    if status != "Succeeded":
        raise ListingUnfinished(f"the report of {keys.display(key)} is '{keys.display(status)}'", cure=AGAIN)
    filters, summary = rule.get("filters") or {}, document.get("summary") or {}
    gap = ""
    if rule.get("objectType", "blob") != "blob":
        gap = "it lists containers, not blobs"
    elif lacking := _kinds_left_out(rule, filters):
        gap = f"its rule leaves out {lacking}"
    elif filters.get("creationTime"):
        gap = "its rule takes only what was created lately"
    return Report(
        service=AZURE,
        bucket="",
        created_at=_moment(document["inventoryStartTime"]),
        format=_format(rule["format"], key),
        files=tuple(DataFile(_beside(_text(file["blob"]), key), int(file["size"])) for file in document["files"]),
        rows=int(summary["objectCount"]) if "objectCount" in summary else None,
        account=_text(document.get("endpoint", "")),
        gap=gap,
        prefixes=tuple(map(_text, filters.get("prefixMatch") or ())),
        left_out=tuple(map(_text, filters.get("excludePrefix") or ())),
    )


def _kinds_left_out(rule: dict[str, Any], filters: dict[str, Any]) -> str:
    """Which kinds of blobs a rule does not take that may be there, in words."""
    if "blobTypes" not in filters:
        return ""
    taken = {_text(kind) for kind in filters["blobTypes"]}
    lacking = [kind for kind in ("block", "append", "page") if f"{kind}Blob" not in taken]
    if _ONLY_WITH_FOLDERS & {_text(field).lower() for field in rule["schemaFields"]}:
        lacking = [kind for kind in lacking if kind != "page"]
    if lacking == ["page"]:
        return "page blobs, unless the account has a hierarchical namespace; there, let it write Hdi_isfolder as well"
    return f"{' and '.join(lacking)} blobs" if lacking else ""


def _google(document: dict[str, Any], key: str) -> Report:
    names = [_text(name) for name in document["report_shards_file_names"]]
    if int(document.get("shard_count", len(names))) != len(names):
        raise ListingUnfinished(
            f"{keys.display(key)} names {len(names):,} of {int(document['shard_count']):,} files", cure=AGAIN
        )
    parts = {name.rsplit(".", 1)[-1].lower() for name in names}
    if len(parts) > 1:
        raise ValueError(f"files of several formats: {', '.join(sorted(parts))}")
    told = document.get("snapshot_time")
    return Report(
        service=GOOGLE,
        bucket="",
        created_at=_moment(told) if told else _moment(key.rsplit("_", 2)[-2]),
        format=_format(parts.pop(), key) if parts else "csv",
        files=tuple(DataFile(_beside(name, key)) for name in names),
        rows=int(document["records_processed"]) if "records_processed" in document else None,
    )


def _beside(data: str, manifest: str) -> str:
    return posixpath.join(posixpath.dirname(manifest), posixpath.basename(data))


def _format(told: object, key: str) -> str:
    kind = _text(told).lower()
    if kind not in _FORMATS:
        raise ConfigError(
            f"the report of {keys.display(key)} is written as {keys.display(kind.upper())}, which is not read here",
            cure="Let the inventory write Parquet, or CSV",
        )
    return kind


def _moment(told: object) -> datetime:
    at = datetime.fromisoformat(_text(told))
    return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{keys.display(name)}'" for name in names)
