"""How each tool is asked to do the same job, with the best flags we know for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
BARE = Path(__file__).with_name("bare.py")
SOURCE = Path(__file__).resolve().parents[1] / "src"
"""What is measured is the checkout this file lies in, wherever the package is installed from."""
PREFIX = "data"
"""Every job's part of its bucket."""
AT_ONCE = 32
"""Transfers at once, for every tool."""
FAR_AT_ONCE = 96
"""The same to a server that is far away: what trueup does by itself with a bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be done between a folder and `PREFIX` in a bucket."""

    verb: str
    """`upload`, `download`, or `same`: a sync towards the bucket that finds nothing to do."""
    large: bool
    """Few large files, rather than many small ones."""
    folder: Path
    bucket: str
    at_once: int = AT_ONCE


def trueup(job: Job) -> list[str]:
    mode = "--pull" if job.verb == "download" else "--push"
    places = [str(job.folder), f"s3://{job.bucket}/{PREFIX}"]
    return [str(BIN / "trueup"), "sync", *places, mode, "--workers", str(job.at_once), "--json"]


def rclone(job: Job) -> list[str]:
    local, remote = str(job.folder), f"bench:{job.bucket}/{PREFIX}"
    ends = (remote, local) if job.verb == "download" else (local, remote)
    flags = []
    if job.large:
        flags += ["--s3-upload-concurrency", "4", "--s3-chunk-size", "16M", "--multi-thread-streams", "4"]
    return [*rclone_sync(*ends, job.at_once), *flags]


def rclone_sync(source: str, target: str, transfers: int = AT_ONCE) -> list[str]:
    """As it is asked everywhere here: by content, with as many things at once as the others."""
    flags = ["--s3-no-check-bucket", "--checksum", "--fast-list"]
    at_once = ["--transfers", str(transfers), "--checkers", str(transfers)]
    return [str(BIN / "rclone"), "sync", source, target, *at_once, *flags]


def s5cmd(job: Job) -> list[str]:
    remote = f"s3://{job.bucket}/{PREFIX}/"
    ends = [f"{remote}*", f"{job.folder}/"] if job.verb == "download" else [f"{job.folder}/", remote]
    flags = ["--concurrency", "4", "--part-size", "16"] if job.large else []
    return [str(BIN / "s5cmd"), "--numworkers", str(job.at_once), "--log", "error", "sync", *flags, *ends]


def aws(job: Job) -> list[str]:
    remote = f"s3://{job.bucket}/{PREFIX}/"
    ends = [remote, str(job.folder)] if job.verb == "download" else [str(job.folder), remote]
    return [str(BIN / "aws"), "s3", "sync", *ends, "--only-show-errors"]


def bare(job: Job) -> list[str]:
    verb = "list" if job.verb == "same" else job.verb
    return [sys.executable, str(BARE), verb, str(job.folder), job.bucket, f"{PREFIX}/", str(job.at_once)]


TOOLS: Mapping[str, Callable[[Job], list[str]]] = {
    "trueup": trueup,
    "rclone": rclone,
    "s5cmd": s5cmd,
    "aws": aws,
    "bare": bare,
}
PEERS = ("rclone", "s5cmd", "aws")


def environ(facts: Mapping[str, str], home: Path) -> dict[str, str]:
    """The environment every tool gets: one server, one set of credentials, nothing of the caller's own settings."""
    endpoint, key, secret = facts["endpoint"], facts.get("access_key", "none"), facts.get("secret_key", "none")
    config = home / "aws-config"
    config.write_text(
        f"[default]\nregion = us-east-1\ns3 =\n  max_concurrent_requests = {AT_ONCE}\n  addressing_style = path\n"
    )
    (home / "rclone.conf").touch()
    return {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": str(SOURCE),
        "HOME": str(home),
        "TRUEUP_HOME": str(home / "trueup"),
        "NO_PROXY": "127.0.0.1",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_CONFIG_FILE": str(config),
        "AWS_EC2_METADATA_DISABLED": "true",
        "S3_ENDPOINT_URL": endpoint,  # s5cmd
        "RCLONE_CONFIG": str(home / "rclone.conf"),
        "RCLONE_CONFIG_BENCH_TYPE": "s3",
        "RCLONE_CONFIG_BENCH_PROVIDER": "SeaweedFS",
        "RCLONE_CONFIG_BENCH_ENDPOINT": endpoint,
        "RCLONE_CONFIG_BENCH_REGION": "us-east-1",
        "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": key,
        "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": secret,
    }


def versions() -> dict[str, str]:
    """What is measured: each program's version as it states it."""
    asked = {
        "trueup": ["trueup", "--version"],
        "rclone": ["rclone", "version"],
        "s5cmd": ["s5cmd", "version"],
        "aws": ["aws", "--version"],
        "seaweedfs": ["weed", "version"],
    }
    found = {name: _number(_said([str(BIN / command[0]), *command[1:]])) for name, command in asked.items()}
    from importlib.metadata import version

    return found | {"opendal": version("opendal"), "python": sys.version.split()[0]}


def _said(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
    except OSError:
        return ""


def _number(text: str) -> str:
    found = re.search(r"(?<![\w.])v?(\d+\.\d+(?:\.\d+)?)(?![\dG])", text)
    return found[1] if found else "not installed"
