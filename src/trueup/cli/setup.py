"""`trueup init`, `trueup doctor` and `trueup demo`: the way in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trueup import keys
from trueup.cli.command import command
from trueup.cli.ui import Ui
from trueup.errors import Refused, UsageError

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "trueup init")(init)
    command(app, "trueup doctor", "trueup doctor s3://bucket/site")(doctor)
    command(app, "trueup demo")(demo)


def init(ui: Ui) -> int:
    """Write a commented trueup.toml and .env.example to begin with.

    Files that are there already are never overwritten.
    """
    settings = ui.common.config or Path("trueup.toml")
    files = {settings: "trueup.toml", settings.parent / ".env.example": "env.example"}
    taken = [path for path in files if path.exists() or path.is_symlink()]
    if taken:
        raise Refused(
            f"{taken[0]} is there already; nothing was written", cure="Move it away, or name another --config"
        )
    for path, template in files.items():
        text = (Path(__file__).parent / "templates" / template).read_text("utf-8")
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from error
        ui.out(f"wrote {keys.display(str(path))}")
    ui.out(("next: name your places in it, then: trueup doctor", "dim"))
    ui.document({"written": [str(path) for path in files]})
    return 0


def doctor(
    ui: Ui,
    places: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PLACE]...", help="Places to look at instead of all [stores.*].", show_default=False),
    ] = None,
    *,
    send_test_alert: Annotated[
        bool,
        typer.Option("--send-test-alert", help="Send an alert to everybody in [alerts], and look at nothing else."),
    ] = False,
) -> int:
    """Check the settings, the state folder, the database, and each store, provider and ingest with a real call; and
    whoever else is named: broker, workers and clock, mail server, sheet.

    Nothing is written to any of them, and nothing is sent.
    """
    if send_test_alert:
        from trueup.notify import send_storage_alert

        send_storage_alert("test (nothing is full)", used_gb=1.0, limit_gb=1.0, settings=ui.settings())
        ui.out("sent; look into the mailbox, or at the webhook")
        ui.document({"status": "ok", "checks": []})
        return 0
    from trueup.cli.doctor import checks

    found = []
    for check in checks(ui, places or []):
        found.append(check)
        ui.out(
            (f"{check.status.upper() if check.status == 'fail' else check.status:<5}", _STYLES[check.status]),
            (f"{keys.display(check.name)}", "bold"),
            f"  {ui.clean(check.detail)}",
        )
        if check.cure:
            ui.out(("      " + ui.clean(check.cure), "dim"))
    failed = sum(check.status == "fail" for check in found)
    ui.out(("all is well", "bold green") if not failed else (f"{failed} of {len(found)} checks failed", "bold red"))
    ui.document({"status": "failed" if failed else "ok", "checks": [check.to_json() for check in found]})
    return 1 if failed else 0


def demo(ui: Ui) -> int:
    """Show a plan, a sync, a conflict, an undo and a guard on real files.

    Everything happens in a temporary folder, which is removed again; nothing is contacted.
    """
    from trueup.cli.demo import play

    return play(ui)
