"""The help pages: usage, what it is for, options in groups, and always an example. Plain text, so it pipes well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

SHARED = "Options of every command"

# The context, formatter and parameters belong to click, which lives in different packages from one version of typer to
# the next; what is used of them is the same in all.


def option_rows(command: Any, context: Any) -> dict[str, list[tuple[str, str]]]:  # noqa: ANN401 - see above
    """Names and help of every option, by the group it is shown in."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        if parameter.param_type_name != "option":
            continue
        names = ", ".join(sorted(parameter.opts, key=lambda name: name.startswith("--")))
        if not parameter.is_flag and not parameter.count:
            names += f" {parameter.metavar}"
        group = getattr(parameter, "rich_help_panel", None) or "Options"
        groups.setdefault(group, []).append((names, str(parameter.help)))
    # What is the same everywhere comes last; --help belongs to it.
    own = groups.pop("Options", [])
    common = groups.pop(SHARED, [])
    if rest := [row for row in own if row[0] != "--help"]:
        groups = {"Options": rest} | groups
    groups[SHARED] = [*common, ("--help", "Show this page.")]
    return groups


def argument_rows(command: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - see above
    """Names and help of every argument."""
    return [
        (str(parameter.metavar).strip("[]."), str(parameter.help))
        for parameter in command.params
        if parameter.param_type_name == "argument"
    ]


def command_rows(group: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - see above
    """Names of the commands of a group, and their first lines."""
    return [(name, str(command.help or "").partition("\n")[0]) for name, command in group.commands.items()]


def usage(command: Any, path: str) -> str:  # noqa: ANN401 - see above
    """`trueup runs [OPTIONS] [RUN]`."""
    words = [str(parameter.metavar) for parameter in command.params if parameter.param_type_name == "argument"]
    if hasattr(command, "commands"):
        words = ["COMMAND"]
    return " ".join((path, "[OPTIONS]", *words))


def examples(command: Any) -> list[str]:  # noqa: ANN401 - see above
    """The example command lines."""
    return str(command.epilog or "").splitlines()


def _page(command: Any, context: Any) -> Iterator[tuple[str, list[tuple[str, str]] | str]]:  # noqa: ANN401 - see above
    if hasattr(command, "commands"):
        yield "Commands", command_rows(command)
    elif arguments := argument_rows(command):
        yield "Arguments", arguments
    yield from option_rows(command, context).items()
    found = examples(command)
    yield "Example" if len(found) == 1 else "Examples", "\n".join(found)


def _format(command: Any, context: Any, formatter: Any) -> None:  # noqa: ANN401 - see above
    formatter.write(f"{_heading('Usage')} {usage(command, context.command_path)}\n\n")
    with formatter.indentation():
        formatter.write_text(str(command.help or ""))
    for title, rows in _page(command, context):
        formatter.write(f"\n{_heading(title)}\n")
        with formatter.indentation():
            if isinstance(rows, str):
                formatter.write("".join(f"  {line}\n" for line in rows.splitlines()))
            else:
                formatter.write_dl(rows, col_max=26)


def _heading(text: str) -> str:
    return typer.style(f"{text}:", bold=True)


class HelpfulCommand(TyperCommand):
    """A command with our help page."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - see above
        """Write the page."""
        _format(self, ctx, formatter)


class HelpfulGroup(TyperGroup):
    """A group of commands with our help page."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - see above
        """Write the page."""
        _format(self, ctx, formatter)
