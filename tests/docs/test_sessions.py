"""The shell sessions of the documentation really run, and really print what they show.

All ```console blocks of one page run in one empty folder, in order. Run ids, times and durations may differ, nothing
else. `my-bucket` is a real bucket of a local server.

UPDATE_SESSIONS=1 writes what was printed into the pages instead of comparing it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.docs.pages import name_of, pages
from tests.docs.session import RUN_ID, Step, matches, renamed, shell, steps, with_bucket
from tests.servers import Bucket

UPDATE = bool(os.environ.get("UPDATE_SESSIONS"))
BUCKET = "my-bucket"
PAGES = [page for page in pages() if "```console" in page.read_text("utf-8") and page.name != "cli.md"]
"""The page of the commands is made from them, and shows no output."""


@pytest.mark.timeout(400)
@pytest.mark.skipif(sys.platform == "win32", reason="the sessions are written for a POSIX shell")
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_session_prints_what_the_page_shows(
    page: Path, environ: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
):
    session = steps(page.read_text("utf-8"))
    bucket = BUCKET
    if any(BUCKET in step.command for step in session):
        real: Bucket = request.getfixturevalue("seaweed_bucket")
        environ, bucket = with_bucket(environ, real), real.name
    ids: dict[str, str] = {}  # as the page shows them -> as they are now
    outputs: list[str] = []
    for step in session:
        if UPDATE and ids:  # an id that no output shows yet is the latest run's
            ids = dict.fromkeys(RUN_ID.findall(step.command), max(ids.values())) | ids
        command = renamed(step.command, ids).replace(BUCKET, bucket)
        code, output = shell(command, folder=tmp_path, environ=environ)
        output = output.replace(bucket, BUCKET)
        assert code == step.code, f"$ {step.command}\n{output}"
        if not UPDATE:
            assert matches(step.expected, output), f"$ {step.command}\n{output}\n--- the page shows:\n{step.expected}"
        ids |= dict(zip(RUN_ID.findall(step.expected), RUN_ID.findall(output), strict=False))
        shown = {now: old for old, now in ids.items()}
        ids |= {new: new for new in RUN_ID.findall(output) if new not in shown}
        outputs.append(step.expected if step.expected.strip() == "..." else renamed(output, shown))
    if UPDATE:
        update(page, session, outputs)


def update(page: Path, session: list[Step], outputs: list[str]) -> None:
    text = page.read_text("utf-8")
    for step, output in reversed(list(zip(session, outputs, strict=True))):
        text = text[: step.start] + output + text[step.start + len(step.expected) :]
    page.write_text(text, "utf-8")
