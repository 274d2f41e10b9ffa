"""Inventory reports as each cloud writes them, made of entries."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote_plus

import duckdb

from trueup.stores.base import Entry

Cell = str | int | bool | datetime | None
Row = Mapping[str, Cell]
DAY_OLD = timedelta(hours=30)


def ago(age: timedelta = DAY_OLD) -> datetime:
    return (datetime.now(UTC) - age).replace(microsecond=0)


def s3(
    folder: Path,
    bucket: str,
    entries: Iterable[Entry],
    *,
    at: datetime | None = None,
    kind: str = "CSV",
    extra: Sequence[Row] = (),
    fields: Sequence[str] = ("Bucket", "Key", "Size", "LastModifiedDate", "ETag"),
    shards: int = 1,
) -> Path:
    """A report of S3 Inventory below `folder`; returns its manifest. `extra` are rows besides."""
    at = at or ago()
    rows: list[Row] = [
        {"Bucket": bucket, "Key": entry.key, "Size": entry.size, "LastModifiedDate": time(entry), "ETag": entry.etag}
        for entry in entries
    ]
    rows += [{"Bucket": bucket} | dict(row) for row in extra]
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    files = []
    for shard in range(shards):
        here = rows[shard::shards]
        file = data / f"{uuid.uuid4()}.{'csv.gz' if kind == 'CSV' else kind.lower()}"
        if kind == "CSV":
            lines = [[_s3_cell(field, row.get(field)) for field in fields] for row in here]
            file.write_bytes(gzip.compress(as_csv(lines, quoting=csv.QUOTE_ALL)))
        else:
            parquet(file, {field: _snake(field) for field in fields}, here)
        content = file.read_bytes()
        files.append({"key": f"any/{bucket}/daily/data/{file.name}", "size": len(content), "MD5checksum": md5(content)})
    types = "message s3.inventory { required binary bucket (UTF8); required binary key (UTF8); }"
    manifest = {
        "sourceBucket": bucket,
        "destinationBucket": "arn:aws:s3:::reports",
        "version": "2016-11-30",
        "creationTimestamp": str(round(at.timestamp() * 1000)),
        "fileFormat": kind,
        "fileSchema": ", ".join(fields) if kind == "CSV" else types,
        "files": files,
    }
    return finish(folder / f"{at:%Y-%m-%dT%H-%MZ}" / "manifest.json", manifest)


def azure(
    folder: Path,
    container: str,
    entries: Iterable[Entry],
    *,
    at: datetime | None = None,
    kind: str = "csv",
    extra: Sequence[Row] = (),
    fields: Sequence[str] = ("Name", "Creation-Time", "Last-Modified", "Content-Length", "Content-MD5", "Etag"),
    rule: str = "everything",
    **changed: object,
) -> Path:
    """A report of Azure Blob Inventory; returns its manifest."""
    at = at or ago()
    rows: list[Row] = [
        {
            "Name": f"{container}/{entry.key}",
            "Creation-Time": time(entry),
            "Last-Modified": time(entry),
            "Content-Length": entry.size,
            "Content-MD5": base64_md5(entry),
            "Etag": entry.etag,
        }
        for entry in entries
    ]
    rows += extra
    home = folder / f"{at:%Y/%m/%d/%H-%M-%S}" / rule
    home.mkdir(parents=True)
    file = home / f"{rule}_0.{kind}"
    if kind == "csv":
        file.write_bytes(as_csv([list(fields), *([_cell(row.get(field)) for field in fields] for row in rows)]))
    else:
        parquet(file, {field: field for field in fields}, rows)
    manifest = {
        "destinationContainer": "reports",
        "endpoint": "https://devstoreaccount1.blob.core.windows.net",
        "files": [{"blob": f"{at:%Y/%m/%d/%H-%M-%S}/{rule}/{file.name}", "size": file.stat().st_size}],
        "inventoryCompletionTime": f"{at + timedelta(minutes=10):%Y-%m-%dT%H:%M:%SZ}",
        "inventoryStartTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "ruleDefinition": {
            "filters": {"blobTypes": ["blockBlob", "appendBlob", "pageBlob"], **changed.pop("filters", {})},
            "format": kind,
            "objectType": "blob",
            "schedule": "daily",
            "schemaFields": list(fields),
        },
        "ruleName": rule,
        "status": "Succeeded",
        "summary": {"objectCount": len(rows), "totalObjectSize": 0},
        "version": "1.0",
        **changed,
    }
    return finish(home / f"{rule}-manifest.json", manifest)


def google(
    folder: Path,
    bucket: str,
    entries: Iterable[Entry],
    *,
    at: datetime | None = None,
    kind: str = "csv",
    extra: Sequence[Row] = (),
    fields: Sequence[str] = ("project", "bucket", "name", "size", "updated", "md5Hash", "etag"),
    mark: str = ",",
    **changed: object,
) -> Path:
    """A report of Storage Insights; returns its manifest."""
    at = at or ago()
    rows: list[Row] = [
        {
            "project": "p",
            "bucket": bucket,
            "name": entry.key,
            "size": entry.size,
            "updated": time(entry),
            "md5Hash": base64_md5(entry),
            "etag": entry.etag,
        }
        for entry in entries
    ]
    rows += [{"bucket": bucket} | dict(row) for row in extra]
    name = f"fc95c52f-157a-494f-af4a-d4a53a69ba66_{at:%Y-%m-%dT%H:%M}"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}_0.{kind}"
    if kind == "csv":
        lines = [list(fields), *([_cell(row.get(field)) for field in fields] for row in rows)]
        file.write_bytes(as_csv(lines, delimiter=mark))
    else:
        parquet(file, {field: field for field in fields}, rows)
    manifest = {
        "report_config": {"display_name": "daily"},
        "records_processed": len(rows),
        "snapshot_time": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "shard_count": 1,
        "report_shards_file_names": [file.name],
        **changed,
    }
    path = folder / f"{name}_manifest.json"
    path.write_text(json.dumps(manifest))
    return path


def finish(path: Path, manifest: Mapping[str, object]) -> Path:
    """Write a manifest, and its checksum as the last file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(manifest)
    path.write_text(text)
    path.with_suffix(".checksum").write_text(md5(text.encode()))
    return path


def changed(path: Path, **fields: object) -> Path:
    """The same report with another manifest."""
    return finish(path, json.loads(path.read_text()) | fields)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def base64_md5(entry: Entry) -> str:
    return base64.b64encode(bytes.fromhex(entry.md5)).decode()


def time(entry: Entry) -> datetime:
    return datetime.fromtimestamp(entry.mtime_ns // 10**9, UTC)


def as_csv(lines: Iterable[Sequence[str]], **options: object) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", **options).writerows(lines)
    return text.getvalue().encode()


def parquet(file: Path, names: Mapping[str, str], rows: Sequence[Row]) -> None:
    """Typed as the clouds do: numbers, booleans, times in milliseconds."""
    kinds = [
        next((_TYPES[type(row[field])] for row in rows if row.get(field) is not None), "varchar") for field in names
    ]
    columns = ", ".join(f'"{name}" {kind}' for name, kind in zip(names.values(), kinds, strict=True))
    lines = file.with_suffix(".json")
    lines.write_text(
        "".join(json.dumps({names[key]: row.get(key) for key in names}, default=str) + "\n" for row in rows)
    )
    with duckdb.connect() as db:
        db.execute(f"create table t ({columns})")
        db.execute("set TimeZone = 'UTC'")
        db.execute(f"insert into t select * from read_json('{lines}', columns={_struct(names, kinds)})")
        db.execute(f"copy t to '{file}' (format parquet)")
    lines.unlink()


def _struct(names: Mapping[str, str], kinds: Sequence[str]) -> str:
    return "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in zip(names.values(), kinds, strict=True)) + "}"


_TYPES = {str: "varchar", int: "bigint", bool: "boolean", datetime: "timestamptz"}


def _s3_cell(field: str, value: Cell) -> str:
    return quote_plus(str(value), safe="/") if field == "Key" else _cell(value)


def _cell(value: Cell) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S.000Z}"
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _snake(field: str) -> str:
    return {"ETag": "e_tag"}.get(field) or "".join(f"_{c.lower()}" if c.isupper() else c for c in field).lstrip("_")
