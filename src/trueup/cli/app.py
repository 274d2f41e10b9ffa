"""The command line: its commands, and what is wrong usage."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from trueup import __version__
from trueup.cli import (
    fetching,
    history,
    ingesting,
    pool,
    reconciling,
    records,
    schedule,
    serving,
    setup,
    streams,
    syncing,
    ui_command,
    working,
)
from trueup.cli.command import shared
from trueup.cli.help import HelpfulGroup
from trueup.cli.ui import Common, Failure, Ui, plain_document

app = typer.Typer(
    name="trueup",
    help="Brings two places that should agree into agreement, and keeps them there.",
    epilog="trueup sync ./site s3://bucket/site --dry-run",
    cls=HelpfulGroup,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's signature
    if wanted:
        sys.stdout.write(f"trueup {__version__}\n")
        raise typer.Exit


def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Only its parameter is used."""


shared(app, tuple(inspect.signature(_root, eval_str=True).parameters.values()))
syncing.register(app)
history.register(app)
pool.register(app)
fetching.register(app)
reconciling.register(app)
ingesting.register(app)
records.register(app)
schedule.register(app)
serving.register(app)
working.register(app)
setup.register(app)
ui_command.register(app)


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code. Wrong usage is one line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a name still gets its line
    try:
        code = app(list(arguments) or ["--help"], prog_name="trueup", standalone_mode=False)
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        # Parsing raises click's exceptions, which live in different packages from one version of typer to the next.
        if not hasattr(error, "format_message"):
            raise
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "trueup"
        message = " ".join(str(error.format_message()).split()).removesuffix(".")
        failure = Failure(message=message, cure=f"See: {path} --help", exit_code=2)
        streams.say(f"error: {failure.sentence}")
        if "--json" in arguments:
            document = syncing.DOCUMENTS.get(path.partition(" ")[2], plain_document)
            Ui(Common(json=True)).document(document(failure))
        code = failure.exit_code
    if not arguments:
        return 2
    return code if isinstance(code, int) else 0
