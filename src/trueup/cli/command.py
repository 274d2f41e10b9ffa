"""How a command is made: its options, the options all commands share, its example, and what happens to its errors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from trueup.cli import log
from trueup.cli.help import SHARED, HelpfulCommand
from trueup.cli.ui import Common, Ui
from trueup.errors import UsageError


def _common(
    *,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document to stdout.", rich_help_panel=SHARED)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=SHARED)] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            help="Log to stderr; -vv logs more.",
            rich_help_panel=SHARED,
            show_default=False,
        ),
    ] = 0,
    log_format: Annotated[
        str,
        typer.Option(
            "--log-format",
            metavar="text|json",
            help="With json: events as JSON lines on stderr.",
            rich_help_panel=SHARED,
            show_default=False,
        ),
    ] = "text",
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="The settings file [./trueup.toml].", rich_help_panel=SHARED),
    ] = None,
    env_file: Annotated[
        Path | None,
        typer.Option(
            "--env-file", metavar="FILE", help="Environment variables to read first [./.env].", rich_help_panel=SHARED
        ),
    ] = None,
) -> Common:
    return Common(json=json, quiet=quiet, verbose=verbose, log_format=log_format, config=config, env_file=env_file)


_PARAMETERS = tuple(inspect.signature(_common, eval_str=True).parameters.values())
_CONTEXT = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)


def _merged(context: typer.Context, values: dict[str, Any]) -> Common:
    """The shared options given here, and those given before the command's name."""
    given = {parameter.name: values.pop(parameter.name) for parameter in _PARAMETERS}
    above = context.parent.obj if context.parent else None
    if isinstance(above, Common):
        given = {name: given[name] or value for name, value in asdict(above).items()} | {
            "verbose": max(given["verbose"], above.verbose),
            "log_format": given["log_format"] if given["log_format"] != "text" else above.log_format,
        }
    return _common(**given)


def _typed(function: Callable[..., None], parameters: list[inspect.Parameter]) -> Callable[..., None]:
    """Give a function the signature that typer shall read."""
    vars(function)["__signature__"] = inspect.Signature(parameters)
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return function


def shared(app: typer.Typer, extra: tuple[inspect.Parameter, ...] = ()) -> None:
    """Let a group take the shared options before the name of its command, too."""

    def callback(*, context: typer.Context, **values: Any) -> None:  # noqa: ANN401 - options of any type
        context.obj = _merged(context, values)

    app.callback()(_typed(callback, [_CONTEXT, *extra, *_PARAMETERS]))


def command(
    app: typer.Typer, *examples: str, name: str | None = None
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Register a command. The function gets a `Ui` and its own options, and returns the exit code; whatever it raises
    is told in one line. `examples` end its help."""

    def register(function: Callable[..., int]) -> Callable[..., int]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

        def run(*, context: typer.Context, **values: Any) -> None:  # noqa: ANN401 - options of any type
            ui = Ui(_merged(context, values))
            raise typer.Exit(guarded(ui, lambda: function(ui, **values)))

        run.__doc__ = inspect.getdoc(function)
        keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        name_ = name or function.__name__
        app.command(name_, cls=HelpfulCommand, epilog="\n".join(examples))(
            _typed(run, [_CONTEXT, *keyword, *_PARAMETERS])
        )
        return function

    return register


def guarded(ui: Ui, work: Callable[[], int]) -> int:
    """Run a command's work. No exception passes, and none shows a traceback unless the log was asked for."""
    try:
        if ui.common.log_format not in {"text", "json"}:
            raise UsageError(f"--log-format {ui.common.log_format} is unknown", cure="Use text or json")
        log.configure(ui)
        return work()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the end of the line: every error becomes a sentence
        return ui.fail(error)
