"""What a command says, and to whom: results to stdout, everything else to stderr, one JSON document when asked.

Without a terminal the output is plain text and `rich` is never imported.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from trueup import keys
from trueup.cli import streams
from trueup.cli.secrecy import Veil
from trueup.errors import Interrupted, TrueupError

if TYPE_CHECKING:
    from rich.console import Console

    from trueup.config import Settings

Segment = str | tuple[str, str]
"""Text, or text and its style."""

STATUSES: Mapping[int, str] = {3: "refused", 4: "busy", 130: "interrupted"}
"""The status of a run by the exit code of the error that ended it; every other one failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """The options every command has."""

    json: bool = False
    quiet: bool = False
    verbose: int = 0
    log_format: str = "text"
    config: Path | None = None
    env_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How a command ended that could not go on."""

    message: str
    cure: str = ""
    exit_code: int = 1

    @property
    def status(self) -> str:
        """As in a run's JSON."""
        return STATUSES.get(self.exit_code, "failed")

    @property
    def sentence(self) -> str:
        """Message and cure."""
        return f"{self.message}. {self.cure}" if self.cure else self.message


def plain_document(failure: Failure) -> dict[str, object]:
    """What a command prints for `--json` when it failed."""
    return {"status": failure.status, "reason": failure.sentence}


@dataclass(slots=True)
class Ui:
    """One command's voice."""

    common: Common
    failure_document: Callable[[Failure], dict[str, object]] = plain_document
    """The JSON of a failure, in the shape of the command's result."""
    veil: Veil = field(default_factory=lambda: Veil(os.environ))
    through: Console | None = None
    """The console of a progress bar on the screen; what is written to stderr must pass through it."""
    _consoles: dict[str, Console] = field(default_factory=dict)
    _settings: Settings | None = None
    _said: bool = False
    _results: TextIO | None = None

    def settings(self) -> Settings:
        """The settings files and the environment, read once. Raises `ConfigError`."""
        if self._settings is None:
            from trueup.config import load

            self._settings = load(self.common.config, env_file=self.common.env_file)
            self.veil = Veil(self._settings.environ, self._settings)
        return self._settings

    # Results

    def out(self, *segments: Segment) -> None:
        """A line of the result for people; nothing with --json or --quiet."""
        if not self.common.json and not self.common.quiet:
            self._line(sys.stdout, segments)

    def document(self, value: Mapping[str, object]) -> None:
        """The result as one JSON document; nothing without --json."""
        if self.common.json and not self._said:
            self._said = True
            self._write(self._results or sys.stdout, self.veil.json(value) + "\n")

    def line(self, value: Mapping[str, object]) -> None:
        """One of several results, as a JSON line; nothing without --json."""
        if self.common.json:
            self._write(self._results or sys.stdout, self.veil.json(value) + "\n")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """With --json, what somebody else's code prints meanwhile goes to stderr: it is no part of the document."""
        if not self.common.json:
            yield
            return
        self._results = sys.stdout
        try:
            with redirect_stdout(sys.stderr):
                yield
        finally:
            self._results = None

    # Everything else

    def warn(self, message: str) -> None:
        """Something a person should know."""
        if not self.common.quiet and self.common.log_format == "text":
            self._line(sys.stderr, [("warning: ", "yellow"), self.clean(message)])

    def say(self, message: str) -> None:
        """A line on stderr that nobody switched off."""
        if self.common.log_format == "json":
            self.event({"event": "warned", "message": message})
        else:
            self._line(sys.stderr, [self.clean(message)])

    def event(self, value: Mapping[str, object]) -> None:
        """One event as a JSON line on stderr."""
        self._write(sys.stderr, self.veil.json(value) + "\n")

    def fail(self, error: BaseException) -> int:
        """Say in one line why the command cannot go on, and return its exit code."""
        failure = described(error)
        if not isinstance(error, (TrueupError, KeyboardInterrupt)):
            logging.getLogger("trueup.cli").info("unforeseen error", exc_info=error)
        if self.common.log_format == "json":
            self.event({"event": "error", "status": failure.status, "message": failure.message, "cure": failure.cure})
        else:
            label = "error" if failure.status == "failed" else failure.status
            self._line(sys.stderr, [(f"{label}: ", "bold red"), self.clean(failure.sentence)])
        self.document(self.failure_document(failure))
        return failure.exit_code

    def refuse(self, reason: str, *, status: str = "refused") -> None:
        """Say that a guard refuses what was planned, or what else (the status of the run) kept it from being done."""
        if self.common.log_format == "text":
            label = "error" if status == "failed" else status
            self._line(sys.stderr, [(f"{label}: ", "bold red"), self.clean(reason)])

    def clean(self, text: str) -> str:
        """One line without control characters or secrets."""
        return keys.display(self.veil(" ".join(text.split())))

    def _line(self, stream: TextIO, segments: tuple[Segment, ...] | list[Segment]) -> None:
        console = self.through if stream is sys.stderr and self.through else self._console(stream)
        if console is None:
            self._write(stream, "".join(part if isinstance(part, str) else part[0] for part in segments) + "\n")
            return
        from rich.text import Text

        try:
            console.print(Text.assemble(*segments), soft_wrap=True)
        except OSError as error:
            streams.hang_up(stream, error)

    def _console(self, stream: TextIO) -> Console | None:
        """Where colours are wanted: on a terminal, or with FORCE_COLOR."""
        if not (stream.isatty() or os.environ.get("FORCE_COLOR")):
            return None
        name = "stdout" if stream is sys.stdout else "stderr"
        if name not in self._consoles:
            from rich.console import Console

            self._consoles[name] = Console(file=stream, highlight=False, markup=False, emoji=False)
        return self._consoles[name]

    def _write(self, stream: TextIO, text: str) -> None:
        try:
            stream.write(text)
            stream.flush()
        except OSError as error:
            streams.hang_up(stream, error)


def described(error: BaseException) -> Failure:
    """What happened, in words."""
    match error:
        case TrueupError():
            return Failure(message=error.message, cure=error.cure, exit_code=error.exit_code)
        case KeyboardInterrupt() | BaseException(__cause__=KeyboardInterrupt()):  # what an import makes of Ctrl-C
            return Failure(message="stopped", exit_code=Interrupted.exit_code)
        case OSError() if error.strerror:
            where = f"{error.filename}: " if error.filename else ""
            return Failure(message=f"{where}{error.strerror}")
    return Failure(
        message=f"unforeseen error: {type(error).__name__}: {error}",
        cure="Run it again with -v to see where it happened",
    )
