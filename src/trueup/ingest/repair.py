"""Bringing back what was lost of files that had their effect: the file itself, or, where `already_done` says so, the
effect."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Final

from trueup import keys
from trueup.catalog.sql.processed import DUPLICATE
from trueup.errors import NotFound, PreconditionFailed, StoreError
from trueup.ingest.fetch import fetch
from trueup.ingest.observe import Pass, paged
from trueup.stores.base import Entry

log = logging.getLogger("trueup.ingest")

_AT_ONCE: Final = 16


def repair(this: Pass, stopped: Callable[[], bool]) -> None:
    """Fetch again what had its effect and is not in the local folder, without the handler; and have taken again what
    had it once and has it no more. Raises what listing raises."""
    job, hooked = this.job, this.job.handler.already_done is not None
    wanted = (entry for entry in job.source.list(ordered=False) if not entry.fault and entry.key in job.scope)
    with closing(wanted), ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="repair") as crew:
        for page in paged(wanted):
            if stopped():
                return
            done = {name: row for name, row in job.processed.rows([one.key for one in page]).items() if row.success}
            had = [entry for entry in page if entry.key in done]
            # What its bytes did under another name was not lost under this one.
            own = [entry for entry in had if done[entry.key].state != DUPLICATE]
            lost = this.not_done(own) if hooked and own else set()
            if lost and not this.dry_run:
                job.processed.request(done[name] for name in lost)
            missing = [
                entry
                for entry in had
                if entry.key not in lost and not this.here(entry.key) and not job.local.unaddressable(entry.key)
            ]
            if this.dry_run:
                for entry in missing:
                    this.item(entry.key, "planned")
                for key in sorted(lost):
                    this.item(key, "planned", "its effect is lost")
                continue
            for entry, problem in zip(missing, crew.map(lambda entry: _fetched(this, entry), missing), strict=True):
                if problem is None:
                    this.tally.counts.downloaded += 1
                    log.info("%s is back", keys.display(entry.key))
                else:
                    this.tally.counts.failed += 1
                    this.tally.troubled = True
                    this.item(entry.key, "failed", problem)


def _fetched(this: Pass, entry: Entry) -> str | None:
    """Why a file could not be fetched, or None."""
    try:
        fetch(this.job, entry, None)
    except (PreconditionFailed, NotFound):
        return "it changed while it was read"
    except StoreError as error:
        return str(error)
    return None
