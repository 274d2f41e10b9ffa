"""`trueup fetch`: a URL into the pool."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from trueup import keys
from trueup.cli import words
from trueup.cli.command import command
from trueup.cli.live import wants_bar
from trueup.cli.pool import open_pool, time_of
from trueup.cli.ui import Ui


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "trueup fetch https://example.com/video.mp4", "trueup fetch https://example.com/a.zip --json")(fetch)


def fetch(
    ui: Ui,
    url: Annotated[str, typer.Argument(metavar="URL", help="What to download; http or https.", show_default=False)],
) -> int:
    """Download a URL into the pool, and print a URL of ours for it. What is there already is not fetched again."""
    with open_pool(ui) as pool, _gauge(ui) as heard:
        fetched = pool.downloads.fetch(url, heard)
        link, ends = pool.fetched_link(fetched)
    stored = fetched.stored
    how = "at" if fetched.new else "already at"
    ui.out(f"{keys.display(stored.key)}  {words.size(stored.size)}  {how} {stored.provider}")
    if link:
        ui.out(link)
    ui.document(
        {
            "id": fetched.download.id,
            "source": fetched.source,
            "new": fetched.new,
            "key": stored.key,
            "provider": stored.provider,
            "url": link or None,
            "size": stored.size,
            "md5": stored.md5,
            "expires_at": time_of(ends) if ends is not None else None,
        }
    )
    return 0


@contextmanager
def _gauge(ui: Ui) -> Iterator[Callable[[int, int | None], None]]:
    """Draws how far a download is, where somebody watches."""
    if not wants_bar(ui):
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
    columns = (BarColumn(bar_width=30), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
