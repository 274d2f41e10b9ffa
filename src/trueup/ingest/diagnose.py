"""`diagnose`: explain every difference between server, local folder and database."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from trueup import keys
from trueup.config import Settings, load
from trueup.errors import ListingUnfinished, StoreError
from trueup.ingest import causes
from trueup.ingest.causes import Facts, Finding, judge, missing_in
from trueup.ingest.job import opened
from trueup.ingest.memory import Memory
from trueup.ingest.observe import Pass
from trueup.ingest.owner import Owner
from trueup.ingest.survey import Survey
from trueup.runs import RunRecord, new_run_id, stamped

JOB: Final = "diagnose"
HEALTHY: Final = "healthy"
ATTENTION: Final = "attention"
UNKNOWN: Final = "unknown"
SHOWN: Final = 10_000
"""Files in each list of the result; the counts hold all."""
_Item = TypeVar("_Item")
_MANY: Final = 100
_YOUNG: Final = timedelta(days=7)
_ADVICE: Final = {
    causes.NEVER_SEEN: "{files} not taken yet: trueup ingest {name}",
    causes.LOST_EFFECT: "{files} whose effect is lost, have it made again: trueup ingest {name} --repair",
    causes.QUARANTINED: "{files} in quarantine, mend the reason and then: trueup ingest {name} --requeue GLOB",
    causes.FAILED: "{files} that failed or broke off, the next run tries again what still is there: trueup ingest"
    " {name}",
    causes.REFUSED: "{files} that cannot be taken as they are: rename them on the server, or exclude them",
    causes.AHEAD: "{files} whose time is still to come: set the server's clock right, or the files' times",
    causes.PERMISSION: "{files} that this user may not read: have the server's rights changed",
    causes.SIZE_DIFFERS: "{files} of another size than when taken: trueup ingest {name} --reprocess GLOB",
    causes.LOST_ROW: "{files} without a row, which gets written again: trueup ingest {name}",
    causes.CLEANED: "{files} cleaned up here after being taken: nothing to do; to have them back: trueup ingest {name}"
    " --repair",
}


@dataclass(slots=True, kw_only=True)
class Diagnosis:
    """What was found."""

    name: str
    status: str = HEALTHY
    """`healthy`, `attention` or `unknown`."""
    why: list[str] = field(default_factory=list)
    """What makes it so, in sentences."""
    counts: dict[str, int | None] = field(
        default_factory=lambda: {"server": None, "local": 0, "processed": 0, "domain": None}
    )
    assumed: int = 0
    """Rows of files that lay here, of which nothing else says that they had their effect."""
    missing: dict[str, list[str]] = field(
        default_factory=lambda: {"server": [], "local": [], "processed": [], "domain": []}
    )
    missing_by_layer: Counter[str] = field(default_factory=Counter)
    files: list[Finding] = field(default_factory=list)
    by_cause: Counter[str] = field(default_factory=Counter)
    mattering: int = 0
    missing_count: int = 0
    missing_before: int | None = None
    """How many were at the last diagnosis."""
    oldest: datetime | None = None
    newest: datetime | None = None
    """UTC. The times of what is missing."""
    advice: list[str] = field(default_factory=list)
    truncated: bool = False
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0, or 1 where nothing can be said; a check asks for the status besides."""
        return 1 if self.status == UNKNOWN else 0

    @property
    def growth(self) -> int | None:
        """By how many files the gap grew since the last diagnosis."""
        return None if self.missing_before is None else self.missing_count - self.missing_before

    def summary(self) -> dict[str, object]:
        """Without the lists."""
        return {
            "status": self.status,
            "why": self.why,
            "counts": self.counts,
            "assumed": self.assumed,
            "causes": dict(self.by_cause),
            "missing_count": self.missing_count,
            "missing_by_layer": {layer: self.missing_by_layer[layer] for layer in self.counts},
            "missing_from": _date(self.oldest),
            "missing_to": _date(self.newest),
            "growth": self.growth,
        }

    def to_json(self) -> dict[str, object]:
        """All of it."""
        lists: dict[str, object] = {
            "missing": self.missing,
            "files": [found._asdict() for found in self.files],
            "advice": self.advice,
        }
        return self.summary() | lists | ({"files_truncated": True} if self.truncated else {})


def diagnose(name: str, *, settings: Settings | None = None) -> Diagnosis:
    """Explain every file of `[ingest.NAME]` that is not everywhere it should be, and say whether that matters. Nothing
    is changed but the history of runs, for which the database is brought up to date. Raises `ConfigError` and
    `TrueupError`; a server that cannot be read makes the diagnosis `unknown`."""
    settings = settings or load()
    began, started = time.monotonic(), datetime.now(UTC)
    done = Diagnosis(name=name)
    with opened(name, settings, Memory()) as job:
        this = Pass(run=new_run_id(started), job=job, owner=Owner(settings.home, looks_only=True))
        with closing(Survey(this)) as survey:
            try:
                survey.read_server()
            except (StoreError, ListingUnfinished) as error:
                done.status, done.why = UNKNOWN, [f"the server cannot be read: {error}"]
            survey.read_here()
            done.counts |= {"server": 0, "domain": 0 if job.handler.already_done is not None else None}
            for file in survey.files():
                _count(done, file)
        if job.config.domain_count:
            done.counts["domain"] = job.processed.count(job.config.domain_count)
        if done.status == UNKNOWN:
            done.counts["server"] = None
        else:
            before = job.processed.latest(JOB, name, but=UNKNOWN)
            found = before.summary.get("missing_count") if before is not None else None
            done.missing_before = found if isinstance(found, int) else None
            _conclude(done)
        done.seconds = time.monotonic() - began
        job.processed.record(_record(done, this.run, started))
    return done


def _count(done: Diagnosis, file: Facts) -> None:
    """Add one file to the counts, and to the lists where it is not everywhere; the latter only where the server is
    known."""
    counts = done.counts
    tallied = ("server", file.server is not None), ("local", file.local is not None), ("processed", file.success)
    for layer, there in (*tallied, ("domain", bool(file.domain))):
        if there and not file.filtered and (number := counts[layer]) is not None:
            counts[layer] = number + 1
    done.assumed += file.state == "assumed"
    if done.status == UNKNOWN:
        return
    layers, found = missing_in(file), judge(file)
    done.missing_by_layer.update(layers)
    for layer in layers:
        _add(done, done.missing[layer], keys.display(file.path))
    if found is not None:
        done.by_cause[found.cause] += 1
        done.mattering += found.matters
        _add(done, done.files, found._replace(path=keys.display(found.path)))
    if layers:
        done.missing_count += 1
        if file.at is not None:
            done.oldest = min(done.oldest or file.at, file.at)
            done.newest = max(done.newest or file.at, file.at)


def _add(done: Diagnosis, shown: list[_Item], item: _Item) -> None:
    if len(shown) < SHOWN:
        shown.append(item)
    else:
        done.truncated = True


def _conclude(done: Diagnosis) -> None:
    """What the counts mean."""
    why = []
    if done.mattering:
        why.append(f"{_files(done.mattering)} that matter{'s' * (done.mattering == 1)}")
    if done.missing_count > _MANY:
        why.append(f"{_files(done.missing_count)} missing somewhere, more than {_MANY}")
    if done.newest is not None and datetime.now(UTC) - done.newest < _YOUNG:
        why.append(f"a missing file is younger than {_YOUNG.days} days: it is of {_date(done.newest)}")
    if done.growth is not None and done.growth > 0:
        why.append(f"{_files(done.growth)} more missing than at the last diagnosis")
    done.status = ATTENTION if why else HEALTHY
    done.why = why or [_reassurance(done)]
    done.advice = [
        text.format(name=done.name, files=_files(done.by_cause[cause]))
        for cause, text in _ADVICE.items()
        if done.by_cause[cause]
    ] or ["Do nothing"]


def _reassurance(done: Diagnosis) -> str:
    if not done.missing_count:
        return "every file is where it should be"
    said = ", ".join(
        f"{count:,} {cause.replace('_', ' ')}"
        for cause, count in sorted(done.by_cause.items())
        if cause not in {causes.FILTERED, causes.UNSTABLE}
    )
    newest = f", the newest of {_date(done.newest)}" if done.newest is not None else ""
    return f"{_files(done.missing_count)} missing somewhere, none of which matters: {said}{newest}"


def _files(count: int) -> str:
    return f"{count:,} file" + "s" * (count != 1)


def _date(at: datetime | None) -> str | None:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at is not None else None


def _record(done: Diagnosis, run: str, started: datetime) -> RunRecord:
    return RunRecord(
        run=run,
        job=JOB,
        name=done.name,
        status=done.status,
        started=stamped(started),
        seconds=done.seconds,
        summary=done.summary(),
    )
