"""One task carried out in a process of its own: watched, kept alive in the queue, stopped when nobody wants it."""

from __future__ import annotations

import base64
import json
import logging
import os
import pickle
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from trueup.catalog.tasks import FAILURE, REVOKED, SUCCESS, Task, Tasks
from trueup.config import Settings
from trueup.errors import TrueupError
from trueup.jobs.registry import JOBS

log = logging.getLogger("trueup.jobs")

AT_ONCE: Final = 4
"""Jobs under way at the same time in one server, or worker; more wait."""
LEASE: Final = timedelta(minutes=1)
"""So long nobody takes the task of a machine that crashed."""
_RENEW: Final = 3.0
_FLUSH: Final = 0.5
GRACE: Final = 30.0
"""Seconds in which a job that is to stop may finish what it is at."""
_LONGEST: Final = 12 * 3600.0
_TOO_LONG: Final = "it took too long"
_ITEMS: Final = 1000
"""Files of which a run tells one by one; its progress counts all."""
_PASSING: Final = {"listing", "progress"}
"""Events of which only the newest matters."""
_WAIT: Final = timedelta(seconds=30)
_FAILED: Final = {"failed", "refused", "busy"}


class Work:
    """One task under way. `carry_out` does it; anybody may `stop` it."""

    def __init__(self, task: Task, tasks: Tasks, settings: Settings, holder: str, *, resumes: bool = False) -> None:
        """One that `resumes` is taken up again by somebody else when it is stopped, unless it was cancelled."""
        self.task = task
        self._tasks = tasks
        self._settings = settings
        self._holder = holder
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._resumes = resumes
        self.pause = 0.0
        """Seconds until it is to be started again, after it has become a `RETRY`."""
        self._why = ""
        self._began = 0.0
        self._said = 0
        self._items = 0
        self._events: list[Mapping[str, Any]] = []
        self._end: dict[str, Any] = {}

    def stop(self, why: str) -> None:
        """Let it end soon; `why` is kept as the error, `cancelled` makes it `REVOKED`."""
        self._why = self._why or why
        self._lines.put("")

    def carry_out(self) -> None:
        """Run it, and tell the queue how it ended."""
        # Of a URL, not its query, which may hold a secret.
        arguments = {name: _shown(value) for name, value in self.task.arguments.items()}
        told = {"arguments": arguments, "attempt": self.task.attempts}
        self._log("task_started", f"started: {self.task.job} {json.dumps(arguments)}", told)
        self._began = time.monotonic()
        process = self._begun()
        reader = threading.Thread(target=self._read, args=(process,), name="lines", daemon=True)
        reader.start()
        # What a handler prints has a line of the log like everything else. Whoever it left behind may keep the pipe
        # open: nobody waits for that.
        threading.Thread(target=self._overhear, args=(process,), name="printed lines", daemon=True).start()
        try:
            self._watch(process)
        finally:
            process.kill()
            process.wait()
            reader.join()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        self._finish(process.returncode)

    def _begun(self) -> subprocess.Popen[str]:
        # What a handler asks for by itself: the environment holds what was in an environment file.
        environ = dict(self._settings.environ) | {"TRUEUP_HOME": str(self._settings.home)}
        if self._settings.path is not None:
            environ["TRUEUP_CONFIG"] = str(self._settings.path)
        process = subprocess.Popen(
            [sys.executable, "-m", "trueup.jobs.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="backslashreplace",
            env=environ,
            # Ctrl-C in a terminal is for the server, which stops its jobs one by one.
            start_new_session=os.name != "nt",
        )
        # A run's id names folders; one that somebody else made up may be anything.
        plain = re.fullmatch(r"[\w-]{1,64}", self.task.id, re.ASCII)
        run = self.task.id if self.task.attempts == 1 and plain else ""
        level = logging.getLogger("trueup").getEffectiveLevel()
        request = {
            "job": self.task.job, "arguments": dict(self.task.arguments), "run": run, "level": level,
            "again": self.task.attempts > 1,
            # As they were read at the start, not as their file is now.
            "settings": base64.b64encode(pickle.dumps(self._settings)).decode(),
        }  # fmt: skip
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except OSError:  # it died at once; how is seen below
            log.warning("task %s did not start", self.task.id)
        return process

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _overhear(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as printed:
            for line in printed:
                log.info("%s [task %s]", line.rstrip(), self.task.id, extra={"told": {"task": self.task.id}})

    def _log(self, event: str, message: str, told: Mapping[str, object]) -> None:
        about = {"event": event, "task": self.task.id, "job": self.task.job, **told}
        log.info("task %s %s", self.task.id, message, extra={"told": about})

    def _watch(self, process: subprocess.Popen[str]) -> None:
        renewed = flushed = began = time.monotonic()
        deadline = began + _LONGEST
        stopping = False
        while True:
            at = time.monotonic()
            due = min(renewed + _RENEW, deadline, flushed + _FLUSH if self._events else deadline)
            try:
                line = self._lines.get(timeout=max(0.0, due - at))
            except queue.Empty:
                line = ""
            if line is None:
                break
            if line:
                self._heard(json.loads(line))
            at = time.monotonic()
            if self._events and at >= flushed + _FLUSH:
                flushed = at
                self._flush()
            if at >= renewed + _RENEW:
                renewed = at
                self._renew()
            if at >= deadline:
                if stopping:
                    return
                self.stop(_TOO_LONG)
            if self._why and not stopping:
                stopping, deadline = True, at + GRACE
                self._events.append({"event": "warned", "run": self.task.id, "message": f"to be stopped: {self._why}"})
                assert process.stdin is not None
                process.stdin.close()
        self._flush()

    def _heard(self, said: dict[str, Any]) -> None:
        if "log" in said:
            name, level, message = said["log"]
            task = self.task.id
            logging.getLogger(name).log(level, "%s [task %s]", message, task, extra={"told": {"task": task}})
            return
        if "event" not in said:
            self._end = said
            return
        event = said["event"]
        if event["event"] in _PASSING:
            self._events = [kept for kept in self._events if kept["event"] != event["event"]]
        elif event["event"] == "item_finished":
            self._items += 1
            if self._items > _ITEMS:
                return
        self._events.append(event)

    def _flush(self) -> None:
        if not self._events:
            return
        self._said += 1
        told, self._events = self._events, []
        # Behind what an earlier try said.
        number = self.task.attempts * 10_000_000 + self._said
        _quietly(lambda: self._tasks.say(self.task.id, number, told), "what it says is not kept")

    def _renew(self) -> None:
        def renew() -> None:
            if self._tasks.renew(self._holder, [self.task.id], LEASE):
                self.stop("cancelled")

        _quietly(renew, "its lease was not renewed")

    def _finish(self, code: int) -> None:
        if (done := self._end.get("done")) is not None:
            status, result = str(done["status"]), done["result"]
            error, again = str((result or {}).get("reason") or "") if status in _FAILED else "", False
        elif (failed := self._end.get("failed")) is not None:
            status, result, error, again = failed["status"], None, failed["error"], failed["again"]
        else:
            status, result, again = "failed", None, False
            error = f"its process ended with {code}" if not self._why else ""
        state = FAILURE if status in _FAILED else SUCCESS
        if self._why and (status == "interrupted" or not self._end):
            state, status, error = FAILURE, "interrupted", self._why
            if self._why == "cancelled":
                state = REVOKED
        elif status == "interrupted":
            state, error = FAILURE, "interrupted"
        seconds = round(time.monotonic() - self._began, 3)
        told = {"status": status, "error": error, "seconds": seconds}
        self._log("task_finished", f"ended: {status} {error}", told)
        name, holder, tries = self.task.id, self._holder, self.task.tries
        stopped = self._resumes and status == "interrupted" and self._why not in {"", "cancelled", _TOO_LONG}
        if stopped:
            _stubbornly(lambda: self._tasks.hand_back(name, holder, error))
        elif again and tries < JOBS[self.task.job].tries:
            wait = _WAIT * 2 ** (tries - 1)
            self.pause = wait.total_seconds()
            _stubbornly(lambda: self._tasks.again(name, holder, error, wait))
        else:
            _stubbornly(lambda: self._tasks.finish(name, holder, state, status=status, result=result, error=error))


def _shown(value: object) -> object:
    """A value of a job for the log."""
    return re.sub(r"(://[^?#]*)[?#].*", r"\1?…", value) if isinstance(value, str) else value


def _quietly(work: Callable[[], object], what: str) -> None:
    """The next time may do."""
    try:
        work()
    except TrueupError as error:
        log.warning("%s: %s", what, error)


def _stubbornly(work: Callable[[], object]) -> None:
    """How a task ended must not be lost over a short outage; over a long one its lease tells."""
    for wait in (1, 2, 4, 8, 16):
        try:
            work()
            return
        except TrueupError as error:
            log.warning("how a task ended is not kept yet: %s", error)
            time.sleep(wait)
    work()
