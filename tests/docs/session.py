"""Shell sessions inside pages: reading them, running a command, comparing what it prints."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.docs.pages import blocks
from tests.servers import Bucket

RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
STEP = re.compile(r"^\$ (.*\n)((?:> .*\n)*)((?:(?!\$ ).*\n)*)", re.MULTILINE)
"""A command, its further lines (`> …`), and its output."""


class Step(NamedTuple):
    command: str
    expected: str
    code: int
    start: int
    """Where the expected output begins in the page."""


def steps(text: str) -> list[Step]:
    """Every command of a page's ```console blocks. One that does not end with 0 says so: `# exits with 3`."""
    found = []
    for block in blocks(text):
        if block.language != "console":
            continue
        for match in STEP.finditer(block.text):
            command = match[1] + re.sub(r"^> ", "", match[2], flags=re.MULTILINE)
            exits = re.search(r"# exits with (\d+)", command)
            found.append(Step(command, match[3], int(exits[1]) if exits else 0, block.start + match.start(3)))
    return found


def shell(command: str, *, folder: Path, environ: Mapping[str, str]) -> tuple[int, str]:
    """Exit code, and stdout and stderr together."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def renamed(text: str, ids: Mapping[str, str]) -> str:
    """The text with other run ids."""
    return RUN_ID.sub(lambda found: ids.get(found[0], found[0]), text)


def forgiving(text: str) -> str:
    """The text without what differs from one run to the next."""
    text = RUN_ID.sub("RUN", text)
    text = re.sub(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?Z)?", "TIME", text)
    text = re.sub(r" in [\d.]+ s(, [\d.]+ \w+/s)?", " in TIME", text)
    text = re.sub(r'"seconds": [\d.]+', '"seconds": TIME', text)
    text = re.sub(r"\b(took +)[\d.]+ s", r"\1TIME", text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def matches(expected: str, printed: str) -> bool:
    """Whether a page shows what was printed; a line `...` stands for any lines."""
    pattern = "".join(
        r"(?:.*\n)*" if line == "..." else re.escape(line) + "\n" for line in forgiving(expected).splitlines()
    )
    return re.fullmatch(pattern, forgiving(printed) + "\n" if printed else "") is not None


def with_bucket(environ: Mapping[str, str], bucket: Bucket) -> dict[str, str]:
    """The environment in which `s3://` means the server of this bucket."""
    options = bucket.options
    return dict(environ) | {
        "AWS_ENDPOINT_URL": options["endpoint"],
        "AWS_ACCESS_KEY_ID": options["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": options["secret_access_key"],
        "AWS_REGION": options.get("region", "us-east-1"),
    }
