"""The command: its arguments, writing pages, and the least server that serving is compared with."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from bench import bare_server, run


def test_only_what_lies_between_the_marks_is_written_anew(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{run.BEGIN}\nold\n{run.END}\n\nafter\n")
    run.put(page, "new\n")
    run.put(page, "newer\n")
    assert page.read_text() == f"before\n\n{run.BEGIN}\n\nnewer\n\n{run.END}\n\nafter\n"


def test_a_plain_run_measures_everything_and_compares_for_some_minutes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["run.py"])
    asked = run.arguments()
    assert (asked.full, asked.only, asked.keep, asked.docs) == (False, None, False, False)
    assert asked.minutes == run.DEFAULT_MINUTES


def test_the_bare_server_answers_with_the_bytes_it_was_given():
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(bare_server.answering(b'{"a": 1}')({"type": "http"}, None, send))
    start, body = sent
    assert start["status"] == 200
    assert (b"content-length", b"8") in start["headers"]
    assert body["body"] == b'{"a": 1}'
