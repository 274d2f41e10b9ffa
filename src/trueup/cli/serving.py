"""`trueup serve`: the door to the service."""

from __future__ import annotations

from typing import Annotated

import typer

from trueup.cli import log
from trueup.cli.command import command
from trueup.cli.ui import Ui
from trueup.errors import MissingExtra


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "trueup serve", "trueup serve --host 0.0.0.0 --port 8080")(serve)


def serve(
    ui: Ui,
    *,
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="HOST", help="Where to listen [127.0.0.1]. Others need a key.", show_default=False
        ),
    ] = "",
    port: Annotated[
        int | None, typer.Option("--port", metavar="PORT", help="The port [8000]; 0: a free one.", show_default=False)
    ] = None,
) -> int:
    """Serve the HTTP API, and run jobs by the clock, until stopped. Needs the extra 'server'."""
    try:
        from trueup.api import serve as run
    except ModuleNotFoundError:
        raise MissingExtra("the service", "server") from None
    from trueup.jobs.config import server_config

    settings = ui.settings()
    log.configure_service(ui)

    def told(url: str) -> None:
        ui.out(f"serving at {url}, described at {url}/docs; Ctrl-C ends it")
        ui.line({"url": url})

    return run(settings, server_config(settings, host=host, port=port), told)
