"""The picture on the first page: a real session, drawn. `python -m tests.docs.picture` draws it anew."""

from __future__ import annotations

import html
import io
import os
import re
import sys
import tempfile
from pathlib import Path

from tests.docs.pages import DOCS
from tests.docs.session import RUN_ID, shell

PICTURE = DOCS / "assets" / "session.svg"
WIDTH = 108
SESSION = (
    "trueup sync site/ bucket/ --dry-run",
    "trueup sync site/ bucket/",
    "echo 'mine' > site/index.html; echo 'theirs' > bucket/index.html; mv site/photo.jpg site/cat.jpg",
    "trueup sync site/ bucket/ --delete",
    "trueup undo {run}",
    "cat site/index.html",
)
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def play(folder: Path) -> list[tuple[str, str]]:
    """Each command of the session and what it really printed, colours included."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "trueup"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m trueup "$@"\n')
    program.chmod(0o755)
    environ = os.environ | {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "TRUEUP_HOME": str(folder / "state"),
        "FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": str(WIDTH), "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    (folder / "site").mkdir()
    (folder / "site" / "index.html").write_text("hello\n")
    (folder / "site" / "photo.jpg").write_bytes(b"\xff\xd8" * 20_000)
    shown, run = [], ""
    for template in SESSION:
        command = template.format(run=run)
        code, output = shell(command, folder=folder, environ=environ)
        assert code == 0, output
        shown.append((command, output))
        run = [run, *RUN_ID.findall(output)][-1]
    return shown


def draw(shown: list[tuple[str, str]]) -> str:
    """The session as SVG. The fonts are those of whoever looks at it: nothing is fetched."""
    from rich.console import Console
    from rich.terminal_theme import DIMMED_MONOKAI
    from rich.text import Text

    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    for command, output in shown:
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        if output:
            console.print(Text.from_ansi(output.rstrip("\n")))
    drawn = console.export_svg(title="trueup", theme=DIMMED_MONOKAI, unique_id="session")
    drawn = re.sub(r"<!--.*?-->\s*", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    return re.sub(r"font-family: ?[^;]*;", f"font-family: {FONTS};", drawn)


def words(drawn: str) -> str:
    """The text of a picture."""
    lines = re.findall(r'<text class="session-r\d+" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>', drawn)
    rows: dict[float, list[tuple[float, str]]] = {}
    for x, y, text in lines:
        rows.setdefault(float(y), []).append((float(x), html.unescape(text).replace("\xa0", " ")))
    return "\n".join("".join(text for _, text in sorted(rows[y])).rstrip() for y in sorted(rows))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        PICTURE.write_text(draw(play(Path(temporary))), "utf-8")
