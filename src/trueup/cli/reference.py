"""The page docs/reference/cli.md, made from the commands themselves: `python -m trueup.cli.reference`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import typer

from trueup.cli import help as pages
from trueup.cli.app import app

_INTRODUCTION = """\
# Command line

<!-- Made by `python -m trueup.cli.reference > docs/reference/cli.md`; a test compares. Do not edit. -->

`python -m trueup` is the same program. Results go to standard output, everything else to standard error. Without a
terminal there are no colours and no progress bars.

| exit code | meaning |
|---|---|
| 0 | done; all is in step |
| 1 | finished, but some items failed, drifted, stay in conflict or are unknown; or a store could not be reached |
| 2 | wrong usage or configuration |
| 3 | refused by a guard; nothing was done |
| 4 | another run holds the lock |
| 5 | `--check` found differences |
| 130 | interrupted; the first Ctrl-C lets running actions finish, the second stops at once |

Where several fit, the first of 130, 2, 4, 3, 1, 5, 0 is taken.
"""


def render() -> str:
    """The whole page, in Markdown."""
    root: Any = typer.main.get_command(app)
    lines = [_INTRODUCTION]
    lines += ["## Options of every command", "", "They may stand before or after the name of the command.", ""]
    lines += _table(pages.option_rows(root, _context(root, "trueup"))[pages.SHARED])
    for path, command in _leaves(root, "trueup"):
        lines += ["", f"## {path}", "", "```", pages.usage(command, path), "```", "", _prose(command.help)]
        sections = {"Arguments": pages.argument_rows(command), **pages.option_rows(command, _context(command, path))}
        for title, rows in sections.items():
            if rows and title != pages.SHARED:
                lines += ["", f"**{title}**", "", *_table(rows)]
        lines += ["", "```console", *(f"$ {example}" for example in pages.examples(command)), "```"]
    return "\n".join(lines) + "\n"


def _context(command: Any, path: str) -> Any:  # noqa: ANN401 - click's context, see help.py
    return command.context_class(command, info_name=path)


def _leaves(group: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - click's, see help.py
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _table(rows: list[tuple[str, str]]) -> list[str]:
    cells = [(f"`{_cell(name)}`", _cell(_prose(text))) for name, text in rows]
    return ["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in cells)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _prose(text: str) -> str:
    """Names of options and sections in code type."""
    return re.sub(r"(?<![`\w])(--[a-z-]+\w|\[[a-z]+\.[A-Z*]+\])", r"`\1`", str(text))


if __name__ == "__main__":
    sys.stdout.write(render())
