"""The messages that the page of symptoms quotes are messages of the program."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.docs.pages import DOCS, ROOT

PAGE = (DOCS / "guides" / "troubleshooting.md").read_text("utf-8")
VALUE = "\0"
"""Stands for what a message is given."""
STATES = {"PENDING", "FAILURE", "degraded", "interrupted"}


def quoted() -> list[str]:
    cells = re.findall(r"^\| (?!you see)(.*?) \|", PAGE, re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    return [name for name in named if name not in STATES and not name.startswith("--")]


def texts() -> Iterator[str]:
    """Every text in the source, with a mark for each value in it."""
    for path in sorted((ROOT / "src" / "trueup").rglob("*.py")):
        if "testing" in path.parts:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
                yield re.sub(r"%[sd]", VALUE, node.value)


SOURCE = list(texts())


@pytest.mark.parametrize("message", quoted())
def test_every_message_that_is_quoted_is_said(message: str):
    pattern = re.compile(".*".join(re.escape(part) for part in message.split("…")), re.DOTALL)
    assert any(pattern.match(text) for text in SOURCE)


def test_every_front_end_has_symptoms():
    headings = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert len(headings) >= 8
    assert len(quoted()) >= 50
