"""Taking files: claimed some at a time, fetched several at once, handled one after the other in the order of their
names. Whatever kills this process at any step, the next pass goes on where it was."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from trueup import events, keys
from trueup.catalog.base import now
from trueup.catalog.lease import Leases
from trueup.catalog.sql.processed import CLAIMED, DONE, DUPLICATE, Claim, Row
from trueup.errors import AccessDenied, NoSpace, NotFound, PreconditionFailed, StoreError, Unreachable
from trueup.foreign import described
from trueup.ingest.decide import Decision, Step, lasting_looks, looks, rewritten
from trueup.ingest.fetch import Here, fetch, md5_there
from trueup.ingest.handler import File
from trueup.ingest.observe import Pass, incoming, moment, paged, settle
from trueup.stores.base import Entry

if TYPE_CHECKING:
    import sqlalchemy as sa

log = logging.getLogger("trueup.ingest")

_AT_ONCE: Final = 16
"""Files that are fetched at once."""
_AHEAD: Final = 64
"""Files that are claimed and may be fetched before the first of them is handled."""
_ALONE: Final = 2
"""The first try that a file has to itself: whoever dies at an earlier one may have died at another file."""


class _Coming(NamedTuple):
    """One file on its way."""

    entry: Entry
    claim: Claim
    here: Future[Here]


class Taking:
    """One pass's work."""

    def __init__(self, this: Pass, stopped: Callable[[], bool]) -> None:
        self._this = this
        self._job = this.job
        self._stopped = stopped
        self._handled = self._bytes = 0
        self._leases = Leases(this.job.processed.renew, this.job.config.lease)
        self._ended = ""

    def run(self, entries: Iterable[Entry]) -> str:
        """Take them all; why it ended before the last, or nothing. What is claimed then is given back."""
        coming: deque[_Coming] = deque()
        with closing(self._leases), ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="ingest") as crew:
            try:
                for batch, ahead in self._batches(entries):
                    while len(coming) > ahead and not self._over():
                        self._settle(coming[0])
                        coming.popleft()
                    if self._over():
                        break
                    coming.extend(self._claimed(batch, crew))
                while coming and not self._over():
                    self._settle(coming[0])
                    coming.popleft()
            finally:
                self._give_back(coming)
        return self._ended

    def _batches(self, entries: Iterable[Entry]) -> Iterator[tuple[list[Entry], int]]:
        """Files to claim together, and how many may wait to be handled then. What a process left that died is claimed
        alone: if it is the file that kills processes, the others are not to be blamed with it."""
        for page in paged(entries, _AHEAD):
            rows = self._job.processed.rows([entry.key for entry in page])
            if any(row.state == CLAIMED for row in rows.values()):
                yield from (([entry], 0) for entry in page)
            else:
                yield page, _AHEAD

    def _over(self) -> bool:
        return bool(self._ended) or self._stopped()

    def _give_back(self, coming: Sequence[_Coming]) -> None:
        for one in coming:
            one.here.cancel()
        wait([one.here for one in coming])  # what is on its way gets here, and must not count as taken then
        self._release([one.claim for one in coming])

    def _release(self, claims: Sequence[Claim]) -> None:
        self._job.processed.release(claims, {one.filename for one in claims if self._this.here(one.filename)})

    # ----- claiming -----

    def _claimed(self, batch: list[Entry], crew: ThreadPoolExecutor) -> Iterator[_Coming]:
        """The files of a batch that are ours to take, on their way."""
        this, job = self._this, self._job
        rows = job.processed.rows([entry.key for entry in batch])
        decisions = [this.decide(entry, rows.get(entry.key)) for entry in batch]
        reading = [
            crew.submit(md5_there, job.source, entry) if decision.step == Step.LOOK else None
            for entry, decision in zip(batch, decisions, strict=True)
        ]
        wanted: dict[str, tuple[Entry, Decision]] = {}
        settled = []
        for entry, first, md5 in zip(batch, decisions, reading, strict=True):
            row = rows.get(entry.key)
            decision = self._looked(row, md5) if row is not None and md5 is not None else first
            if decision.step == Step.TAKE:
                wanted[entry.key] = entry, decision
            elif decision.step == Step.REWRITTEN:
                self._failed(entry, decision.reason, row.attempts if row else 0)
                this.tally.counts.rewritten += 1
            else:
                settled.append((entry, decision, row))
        settle(this, settled)
        asked = [(key, rows.get(key), decision.anew) for key, (_, decision) in wanted.items()]
        for claim in job.processed.claim(asked, this.owner.name, self._leases.end()):
            entry, decision = wanted.pop(claim.filename)
            this.tally.counts.rewritten += decision.rewritten
            self._leases.hold(claim.token)
            yield _Coming(entry, claim, crew.submit(fetch, job, entry, claim))
        for key in wanted:
            this.tally.counts.waiting += 1
            this.item(key, "waiting", "another worker is at it")

    def _looked(self, row: Row, reading: Future[str]) -> Decision:
        """What to do with a file that may have been written anew, by its bytes."""
        try:
            if reading.result() == row.md5:
                return Decision(Step.NOTE)
        except (PreconditionFailed, NotFound):
            return Decision(Step.UNSTABLE)
        except StoreError as error:
            self._trouble(error)
            return Decision(Step.WAIT, reason=str(error))
        return rewritten(self._job.config.on_rewrite)

    # ----- handling -----

    def _settle(self, one: _Coming) -> None:
        """Wait for a file, and let it have its effect."""
        tally = self._this.tally
        try:
            here = one.here.result()
            tally.counts.downloaded += here.fetched
            if one.claim.attempts > max(self._job.config.attempts, _ALONE):
                self._fail(one, "the process that had it died each time", "handler")
                return
            self._handle(one.entry, one.claim, here)
        except (PreconditionFailed, NotFound):  # it is being written, or gone since it was listed
            tally.counts.unstable += 1
            self._release([one.claim])
        except AccessDenied as error:
            self._fail(one, str(error), "permission")
        except (NoSpace, Unreachable) as error:  # no fault of the file's, and no try of it
            self._release([one.claim])
            self._failed(one.entry, str(error), one.claim.attempts - 1)
            self._trouble(error)
        except StoreError as error:
            self._fail(one, str(error), "source")
        except _ClaimLost:
            tally.counts.waiting += 1
            self._this.item(one.entry.key, "waiting", "its lease ended, and another worker has it now")
        except _HandlerFailed as error:
            self._fail(one, described(error.__cause__ or error), "handler")
        except SQLAlchemyError as error:  # what the handler wrote cannot be kept; where nothing can, this fails too
            self._fail(one, described(error), "handler")
        finally:
            self._leases.drop(one.claim.token)
            self._handled += 1
            self._bytes += one.entry.size
            this = self._this
            this.listener(
                events.Progress(
                    run=this.run, actions_done=self._handled, actions=this.wanted, bytes_done=self._bytes, bytes=0
                )
            )

    def _handle(self, entry: Entry, claim: Claim, here: Here) -> None:
        """The handler's writes and ours are one transaction."""
        job, row = self._job, claim.before
        file = File(
            key=entry.key,
            path=job.local.root / entry.key,
            size=entry.size,
            mtime=moment(entry),
            md5=here.md5,
            version=_version(row, entry, here.md5),
        )
        state, first = DONE, row is None or row.version == 0
        known = False
        with job.processed.begin() as db:
            if first and job.config.skip_duplicates:
                twin = job.processed.with_bytes(db, here.md5, entry.size, entry.key)
                if twin is not None:
                    log.info("%s has the bytes of %s", keys.display(entry.key), keys.display(twin))
                    state = DUPLICATE
            seen = lasting_looks(entry, time.time_ns())
            try:
                if state == DONE:
                    known = first and self._known(entry, db)
                    if not known and job.handler.handle is not None:
                        job.handler.handle(file, db)
                ours = job.processed.finish(
                    db, claim, size=entry.size, md5=here.md5, seen=seen, version=file.version, state=state
                )
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # SystemExit and a cancelled task, too, are the file's trouble alone
                raise _HandlerFailed from error
            if not ours:
                raise _ClaimLost
        job.memory.keep(entry.key, entry.size, seen)
        tally = self._this.tally
        if known or state == DUPLICATE:
            tally.counts.known("domain" if known else "processed")
            return
        tally.counts.processed += 1
        self._this.item(entry.key, "processed", attempts=claim.attempts)

    def _known(self, entry: Entry, db: sa.Connection) -> bool:
        """What `already_done` says. Nothing that it does lasts, nor keeps the handler from working."""
        hook = self._job.handler.already_done
        if hook is None:
            return False
        with db.begin_nested() as attempt:
            known = bool(hook(incoming(entry), db))
            attempt.rollback()
        return known

    # ----- trouble -----

    def _fail(self, one: _Coming, error: str, cause: str) -> None:
        """One try came to nothing."""
        config, attempts = self._job.config, one.claim.attempts
        again = now() + config.backoff * 2 ** (attempts - 1) if attempts < config.attempts else None
        self._job.processed.fail(one.claim, error, cause, looks(one.entry), again)
        if again is not None:
            self._failed(one.entry, error, attempts)
            return
        log.warning("%s is put in quarantine: %s", keys.display(one.entry.key), error)
        tally = self._this.tally
        tally.troubled = True
        tally.counts.quarantined += 1
        self._this.item(one.entry.key, "quarantined", error, attempts)

    def _failed(self, entry: Entry, error: str, attempts: int) -> None:
        log.warning("%s failed: %s", keys.display(entry.key), error)
        tally = self._this.tally
        tally.troubled = True
        tally.counts.failed += 1
        self._this.item(entry.key, "failed", error, attempts)

    def _trouble(self, error: StoreError) -> None:
        """A full disk, or a server that does not answer, is every file's trouble."""
        if isinstance(error, (NoSpace, Unreachable)):
            self._ended = str(error)


class _ClaimLost(Exception):
    """Somebody else is at the file."""


class _HandlerFailed(Exception):
    """What a job's own code raised is its cause."""


def _version(row: Row | None, entry: Entry, md5: str) -> int:
    """One more than at the last effect if the bytes are others."""
    if row is None or row.version == 0:
        return 1
    same = row.md5 == md5 if row.md5 else row.size in {None, entry.size}
    return row.version + (not same)
