"""The process in which one job runs: `python -m trueup.jobs.child`.

Its first line on standard input says what to do. It answers with JSON lines: log records and events, then how it
ended. When its input ends, it is to stop: somebody cancelled it, or whoever started it is gone.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import pickle
import signal
import sys
import threading
import time
from _thread import interrupt_main
from contextlib import suppress
from typing import Final, TextIO

from trueup import events
from trueup.errors import Busy, Interrupted, TrueupError
from trueup.jobs.registry import During, job_of, run_job
from trueup.runs import promise_run_id

_BEHIND: Final = 10
"""Whoever asks the server for something goes first."""
_LATEST: Final = 35.0
"""Seconds after which it ends whatever it does. Whoever started it would have killed it before, and may be dead."""


class _Speaker:
    """Standard output, which nobody else writes to: what a handler prints goes to standard error."""

    def __init__(self) -> None:
        self._file: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._lock = threading.Lock()
        os.dup2(2, 1)

    def say(self, value: object) -> None:
        with self._lock, suppress(BrokenPipeError):  # whoever listened is dead, and what runs is to stop
            self._file.write(json.dumps(value) + "\n")
            self._file.flush()

    def event(self, event: events.Event) -> None:
        self.say({"event": event.to_json()})


class _ToParent(logging.Handler):
    """Log records for the parent, whose log has one form."""

    def __init__(self, speaker: _Speaker) -> None:
        super().__init__()
        self._speaker = speaker
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._speaker.say({"log": [record.name, record.levelno, self.format(record)]})


def _interrupt() -> None:
    """Raise `KeyboardInterrupt` in the main thread."""
    if sys.platform == "win32":
        interrupt_main()
    else:  # this wakes it as well where it waits for the network
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def main() -> None:
    """Do what the first line says."""
    if sys.platform != "win32":
        os.nice(_BEHIND)
    speaker = _Speaker()
    request = json.loads(sys.stdin.readline())
    ours = logging.getLogger("trueup")
    ours.addHandler(_ToParent(speaker))
    ours.setLevel(request["level"])
    settings = pickle.loads(base64.b64decode(request["settings"]))  # noqa: S301 - our own parent's
    stop = threading.Event()
    heeds = job_of(request["job"]).heeds

    def watch() -> None:
        sys.stdin.read()
        stop.set()
        if not heeds:
            _interrupt()
        time.sleep(_LATEST)
        os._exit(1)

    threading.Thread(target=watch, name="input", daemon=True).start()
    if request["run"]:
        promise_run_id(request["run"])
    try:
        during = During(listener=speaker.event, stopped=stop.is_set)
        done = run_job(request["job"], settings=settings, during=during, **request["arguments"])
        speaker.say({"done": {"status": done.status, "result": dict(done.result)}})
    except (Interrupted, KeyboardInterrupt):
        speaker.say({"done": {"status": "interrupted", "result": None}})
    except TrueupError as error:
        status = "busy" if isinstance(error, Busy) else "failed"
        # What a crash left may still be at it, for so long as it is let.
        again = error.retryable or (status == "busy" and request["again"])
        speaker.say({"failed": {"status": status, "error": str(error), "again": again}})
    except Exception as error:
        logging.getLogger("trueup.jobs").exception("unforeseen error in %s", request["job"])
        speaker.say({"failed": {"status": "failed", "error": f"{type(error).__name__}: {error}", "again": False}})


if __name__ == "__main__":
    main()
    # Threads of a library that still wait for the network have nothing left to do.
    sys.stderr.flush()
    os._exit(0)
