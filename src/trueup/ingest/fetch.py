"""Getting one file here, whole: read, compared, and only then given its name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from trueup import keys
from trueup.catalog.sql.processed import CLAIMED, Claim
from trueup.errors import NotFound, PreconditionFailed, StoreError
from trueup.ingest.job import Job
from trueup.stores.base import Entry, Store


class Here(NamedTuple):
    """One file that is here."""

    md5: str
    """Hex."""
    fetched: bool
    """False when it was here before."""


def fetch(job: Job, entry: Entry, claim: Claim | None) -> Here:
    """Get a file, as it was listed, into the local folder; it is on the disk when this returns. One that a claim of a
    process that died has got already is not read again. Raises `PreconditionFailed` and `NotFound` when the source
    is not as listed any more, and `StoreError`."""
    if claim is not None and claim.before is not None and claim.before.state == CLAIMED:
        job.local.discard(entry.key, temporary(claim.before.token))
        if (md5 := _kept(job, entry)) is not None:
            return Here(md5, fetched=False)
    try:
        with job.source.read(entry.key, expect=entry) as body:
            written = job.local.write(
                entry.key,
                _unchanged(body, job.source, entry),
                size=entry.size,
                md5=entry.md5,
                mtime_ns=entry.mtime_ns or None,
                temporary=temporary(claim.token if claim is not None else ""),
            )
    except (PreconditionFailed, NotFound) as error:
        if _as_listed(job.source, entry):  # so it is something here that stands in the way
            raise StoreError(error.message, cure=error.cure) from error
        raise
    job.local.flush([entry.key])
    return Here(written.md5, fetched=True)


def temporary(token: str) -> str:
    """What an unfinished file is called, so that what a killed process leaves can be found."""
    return f"ingest-{token}" if token else ""


def md5_there(source: Store, entry: Entry) -> str:
    """The MD5 of a file on the server, which is read for that and kept nowhere."""
    md5 = hashlib.md5(usedforsecurity=False)
    with source.read(entry.key, expect=entry) as body:
        for piece in _unchanged(body, source, entry):
            md5.update(piece)
    return md5.hexdigest()


def _kept(job: Job, entry: Entry) -> str | None:
    """The MD5 of the file that lies here, if it is the one that is listed."""
    with suppress(NotFound):
        found = job.local.stat(entry.key)
        if found.size != entry.size or found.mtime_ns != entry.mtime_ns:
            return None
        md5 = md5_there(job.local, found)
        return md5 if not entry.md5 or entry.md5 == md5 else None
    return None


def _unchanged(body: Iterator[bytes], source: Store, entry: Entry) -> Iterator[bytes]:
    """The bytes, if the source still is as it was listed when the last has come. Whoever writes them publishes nothing
    else."""
    yield from body
    if not _as_listed(source, entry):
        raise PreconditionFailed(f"'{keys.display(entry.key)}' changed while it was read")


def _as_listed(source: Store, entry: Entry) -> bool:
    with suppress(NotFound):
        now = source.stat(entry.key)
        return (now.size, now.mtime_ns, now.fingerprint) == (entry.size, entry.mtime_ns, entry.fingerprint)
    return False
