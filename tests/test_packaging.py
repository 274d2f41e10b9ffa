"""The wheel on its own: what a user gets from `pip install`, with no help from this checkout."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
UV = Path(sys.executable).parent / "uv"
EXTRAS = {
    "sftp": "asyncssh",
    "fsspec": "fsspec",
    "tui": "textual",
    "server": "fastapi, uvicorn, sqlalchemy, alembic, trueup.api, trueup.jobs.embedded",
    "web": "fastapi, jinja2, trueup.web",
    "celery": "celery, redis, sqlalchemy, trueup.jobs.celery_app",
    "mongo": "pymongo",
    "postgres": "psycopg, sqlalchemy",
    "sheets": "google.auth",
    "django": "django",
    "downloads": "yt_dlp",
    "inventory": "duckdb",
}
HEAVY = {"sqlalchemy", "pydantic_settings", "fastapi", "celery", "pydantic", "pathspec", "obstore"}


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def online() -> dict[str, str]:
    """Installing is the one thing that may leave the machine: the registries, without the tests' dead-end proxies."""
    return dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp().parent / "wheel"
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one build for all workers
        if not folder.exists():
            built = run(UV, "build", "--wheel", "--out-dir", folder, cwd=ROOT, **online())
            assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


def environment(tmp_path: Path, requirement: str) -> Path:
    python = tmp_path / "venv" / "bin" / "python"
    made = run(UV, "venv", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    done = run(UV, "pip", "install", "--python", python, requirement, cwd=tmp_path, **online())
    assert done.returncode == 0, done.stderr
    return python


def test_the_wheel_holds_the_package_its_types_and_its_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "trueup/py.typed" in names
    assert any(name.endswith("LICENSE") for name in names)
    assert not any(name.startswith(("tests", "bench")) for name in names)


def test_the_wheel_holds_what_the_dashboard_shows(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    web = ROOT / "src" / "trueup" / "web"
    shown = {
        path.relative_to(ROOT / "src").as_posix() for part in ("templates", "static") for path in (web / part).iterdir()
    }
    assert shown
    assert shown <= set(names)


@pytest.mark.timeout(300)
def test_the_wheel_alone_gives_a_command_that_syncs_local_folders(wheel, tmp_path):
    python = environment(tmp_path, str(wheel))
    trueup = python.with_name("trueup")
    assert "sync" in run(trueup, "--help", cwd=tmp_path).stdout
    assert run(trueup, "--version", cwd=tmp_path).stdout.startswith("trueup ")
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "a.txt").write_text("hello")
    done = run(trueup, "sync", "./left", "./right", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["copy_right"] == 1
    assert (tmp_path / "right" / "a.txt").read_text() == "hello"
    missing = run(trueup, "sync", "./left", "sftp://host/path", cwd=tmp_path)
    assert missing.returncode == 2
    assert "sftp" in missing.stderr
    assert missing.stderr.count("\n") == 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("extra", EXTRAS)
def test_each_extra_alone_installs_and_imports(wheel, tmp_path, extra):
    python = environment(tmp_path, f"trueup[{extra}] @ {wheel.as_uri()}")
    done = run(python, "-c", f"import trueup, trueup.sync, {EXTRAS[extra]}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_plain_sync_imports_nothing_heavy(tmp_path):
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "a.txt").write_text("hello")
    script = (
        "import sys\n"
        "from trueup.cli import main\n"
        "sys.argv = ['trueup', 'sync', './left', './right', '--quiet']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print(' '.join(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    done = run(sys.executable, "-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.split())
    assert "trueup" in imported
    assert not imported & HEAVY


def test_the_version_is_told_without_importing_the_command_line(tmp_path):
    done = run(sys.executable, "-X", "importtime", "-m", "trueup", "--version", cwd=tmp_path)
    assert done.stdout == "trueup 0.1.0\n"
    imported = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert not imported & (HEAVY | {"typer", "rich", "opendal", "sqlite3", "click"})
