"""`trueup demo`: the real command on real files, in a temporary folder."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from trueup.cli import words
from trueup.cli.ui import Ui
from trueup.errors import TrueupError

_FILES: Final = 400
_BYTES: Final = 20 << 20
_SKIPPED: Final = {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3"}
_FIRST: Final = {"json", "email", "http", "xml"}
"""Packages the story speaks of, or that make it look like a site."""

_RESULTS: Final = 40
_INGEST: Final = """
[ingest.stats]
source = "drop"
include = ["*.csv"]
exclude = ["*_ws.csv"]
into = "local_stats"
handler = "csv:results"
"""
_RECORDS: Final = """
[records.fields]
followers = "max"
views = "max"
[records.sheets]
kind = "csv"
path = "{name}.csv"
[records.parsed]
kind = "csv"
path = "fresh.csv"
[[records.projects]]
id = "space"
name = "Space"
"""


def play(ui: Ui) -> int:
    """Run the whole session. Raises `TrueupError` when a step does not end as it should."""
    with tempfile.TemporaryDirectory(prefix="trueup-demo-") as folder:
        stage = _Stage(ui, Path(folder))
        for scene in (_first, _again, _conflict, _undo, _guard, _pool, _reconcile, _ingest, _records):
            scene(stage)
    ui.out()
    ui.out(
        ("That was the demo; its temporary folder is gone.", "bold"), " Now yours: trueup init, or trueup sync --help"
    )
    ui.document({"status": "ok", "steps": stage.steps})
    return 0


class _Stage:
    """The temporary folder, and commands run in it."""

    def __init__(self, ui: Ui, folder: Path) -> None:
        self.ui = ui
        self.site = folder / "site"
        self.bucket = folder / "bucket"
        self.steps: list[dict[str, object]] = []
        self._folder = folder
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("TRUEUP_")} | {
            "TRUEUP_HOME": str(folder / "state"),
            "PYTHONPATH": os.pathsep.join(_import_path()),
        }
        if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
            self._environ["FORCE_COLOR"] = "1"

    def tell(self, text: str) -> None:
        """A line of narration."""
        self.ui.out()
        self.ui.out((f"# {text}", "bold cyan"))

    def trueup(self, *arguments: str, expect: int = 0, env: dict[str, str] | None = None) -> str:
        """Run `trueup` as typed, show what it says, and return it."""
        self.ui.out(("$ ", "dim"), (f"trueup {' '.join(arguments)}", "bold"))
        done = subprocess.run(  # noqa: S603 - this very program
            [sys.executable, "-P", "-m", "trueup", *arguments],
            cwd=self._folder,
            env=self._environ | (env or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            check=False,
        )
        if not (self.ui.common.json or self.ui.common.quiet):
            sys.stdout.write(done.stdout)
        self.steps.append({"command": ["trueup", *arguments], "exit_code": done.returncode})
        if done.returncode != expect:
            raise TrueupError(
                f"the demo's `trueup {' '.join(arguments)}` ended with {done.returncode} instead of {expect}: "
                f"{done.stdout.strip()[-500:]}"
            )
        if expect:
            self.ui.out((f"(exit code {done.returncode})", "dim"))
        return done.stdout


def _first(stage: _Stage) -> None:
    files, amount = 0, 0
    for source, target in _library(stage.site):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        files, amount = files + 1, amount + target.stat().st_size
    stage.tell(
        f"site/ holds {words.number(files, 'file')} ({words.size(amount)}) of Python's own library; bucket/ is new."
    )
    stage.tell("First look at the plan (of json/ only, to keep it short); nothing is changed.")
    stage.trueup("sync", "./site", "./bucket", "--dry-run", "--include", "/json/")
    stage.trueup("sync", "./site", "./bucket", "--dry-run", "--check", "--quiet", expect=5)
    stage.tell("Then do it.")
    stage.trueup("sync", "./site", "./bucket")


def _again(stage: _Stage) -> None:
    stage.tell("Once more: nothing to do.")
    stage.trueup("sync", "./site", "./bucket")


def _conflict(stage: _Stage) -> None:
    stage.tell("Edit one file on both sides, another one on the left only, and add one on the right.")
    (stage.site / "json" / "decoder.py").write_text("# edited on the left\n", encoding="utf-8")
    (stage.bucket / "json" / "decoder.py").write_text("# edited on the right, too\n", encoding="utf-8")
    (stage.site / "json" / "tool.py").write_text("# edited on the left only\n", encoding="utf-8")
    (stage.bucket / "notes.txt").write_text("new on the right\n", encoding="utf-8")
    stage.trueup("sync", "./site", "./bucket")
    stage.tell("The right wins a conflict unless --prefer says otherwise; the left's version went to the trash.")


def _undo(stage: _Stage) -> None:
    from trueup.runs import RunLog

    last = RunLog(stage.site.parent / "state").latest(1)[0]
    stage.tell("Take that run back.")
    stage.trueup("undo", last.run)
    text = (stage.site / "json" / "decoder.py").read_text("utf-8")
    stage.tell(f"site/json/decoder.py is as it was on the left again: {text.strip()!r}")


def _guard(stage: _Stage) -> None:
    stage.tell("An accident: most of site/ is lost, and deletions are told to travel.")
    kept = {"json", "email"}
    for entry in stage.site.iterdir():
        if entry.name in kept or entry.name.startswith("."):
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    stage.trueup("sync", "./site", "./bucket", "--delete", expect=3)
    stage.tell("Without --delete, what is missing comes back.")
    stage.trueup("sync", "./site", "./bucket", "--quiet")
    stage.trueup("runs")


def _pool(stage: _Stage) -> None:
    folder = stage.site.parent
    stage.tell("Several clouds as one place: three folders, 300 KiB each, and files of 200 KB.")
    providers = ""
    for name in ("one", "two", "three"):
        (folder / "clouds" / name).mkdir(parents=True)
        providers += f'[pool.providers.{name}]\nurl = "clouds/{name}"\n'
    (folder / "video.mp4").write_bytes(bytes(200_000))
    with _hook() as hook:
        alerts = f'[[alerts.webhooks]]\nurl = "{hook.url}"\nsecret = "only for the demo"\n'
        pool = '[reconcile]\ngrace = "0s"\n[pool]\nquota = "300KiB"\nplacement = "most-free"\n'
        (folder / "trueup.toml").write_text(pool + providers + alerts, "utf-8")
        for number in (1, 2, 3):
            stage.trueup("pool", "put", "video.mp4", f"video-{number}.mp4")
        stage.tell("No quota is exceeded: a fourth one is refused before a byte is sent.")
        stage.trueup("pool", "put", "video.mp4", "video-4.mp4", expect=3)
        stage.trueup("pool", "stats")
        stage.trueup("pool", "url", "video-1.mp4")
        stage.tell("A sweep tidies up, and tells who asked for it that the providers are full: here a webhook.")
        stage.trueup("pool", "sweep")
    if len(hook.told) != 3:
        raise TrueupError(f"the demo's webhook was told {len(hook.told)} times instead of 3")
    for message in hook.told:
        stage.ui.out(("it got ", "dim"), message)


def _reconcile(stage: _Stage) -> None:
    clouds = stage.site.parent / "clouds"
    stage.tell("Behind the pool's back: one object is deleted, one is cut short, and a stranger is added.")
    lost, cut = (next(clouds.glob(f"*/video-{number}.mp4")) for number in (1, 2))
    lost.unlink()
    cut.write_bytes(b"cut short")
    (lost.parent / "stranger.txt").write_text("whose is this?\n", encoding="utf-8")
    stage.trueup("reconcile", "--check", "--quiet", expect=5)
    stage.tell("The books are made true, and what they said is kept; nothing in a cloud is touched.")
    stage.trueup("reconcile")
    stage.trueup("backups", "ls")
    stage.tell("Once more: nothing to do.")
    stage.trueup("reconcile")


def _ingest(stage: _Stage) -> None:
    folder = stage.site.parent
    stage.tell(
        "A server's drop folder: 40 result files, and 2 that are not wanted. Each of the 40 is to be taken once."
    )
    (folder / "drop").mkdir()
    long_ago = time.time() - 30 * 86_400
    for number in range(_RESULTS):
        file = folder / "drop" / f"match-{number:02}.csv"
        file.write_text(f"player,points\nann,{number}\nbob,{number + 1}\n", encoding="utf-8")
        os.utime(file, (long_ago, long_ago))
    for number in range(2):
        (folder / "drop" / f"match-{number:02}_ws.csv").write_text("weapons\n", encoding="utf-8")
    (folder / "trueup.toml").write_text(_INGEST, "utf-8")
    stage.trueup("ingest", "stats")
    stage.tell("Once more: nothing to do.")
    stage.trueup("ingest", "stats")
    stage.tell("An accident: some local files are gone, and so is all that trueup kept outside the database.")
    for file in sorted((folder / "local_stats").iterdir())[:6]:
        file.unlink()
    shutil.rmtree(folder / "state")
    stage.trueup("ingest", "stats")
    stage.tell("What is missing where, why, and does it matter?")
    stage.trueup("diagnose", "stats")
    stage.tell("Bring the local files back; their rows stay as they are.")
    stage.trueup("ingest", "stats", "--repair")
    with closing(sqlite3.connect(folder / "trueup.db")) as db:
        files, rows = db.execute("select count(distinct trueup_file), count(*) from results").fetchone()
    stage.ui.out(f"the table results: {files} files, {rows} rows")
    if (files, rows) != (_RESULTS, 2 * _RESULTS):
        raise TrueupError(f"the demo's {_RESULTS} files had {rows} rows made instead of {2 * _RESULTS}")


def _records(stage: _Stage) -> None:
    folder = stage.site.parent
    stage.tell("A sheet that people correct, and fresh numbers: the greater one of each counts, and a pin beats both.")
    (folder / "trueup.toml").write_text(_RECORDS, "utf-8")
    sheet = "profile_url,followers,views\nhttps://x.com/nasa,91000,4000\nhttps://www.instagram.com/ESA/,49100,#REF!\n"
    (folder / "Space.csv").write_text(sheet, encoding="utf-8")

    def fresh(day: int) -> str:
        numbers = "".join(
            f"{key},{base + gain * day},{views + 700 * day}\n"
            for key, base, gain, views in (
                ("twitter.com/NASA", 90_000, 400, 5_000),
                ("instagram.com/esa", 52_000, 90, 9_000),
            )
        )
        (folder / "fresh.csv").write_text(f"profile_url,followers,views\n{numbers}", encoding="utf-8")
        return f"2026-11-{day:02}T06:00Z"

    stage.trueup("records", "sync", "--at", fresh(1))
    stage.tell("Who won, and what did the others say?")
    stage.trueup("records", "show", "x.com/nasa")
    stage.tell("Once more: nothing to do.")
    stage.trueup("records", "sync", "--at", "2026-11-01T06:30Z")
    stage.tell(
        "The parser counts too many followers of esa, and the greater number wins over the sheet's. A pin does not ask."
    )
    stage.trueup("records", "pin", "instagram.com/esa", "followers", "49100")
    stage.tell("Some days go by.")
    for day in (2, 3, 4, 5):
        stage.trueup("records", "sync", "--quiet", "--at", fresh(day))
    stage.trueup("records", "history", "x.com/nasa")
    stage.trueup("records", "growth")
    with closing(sqlite3.connect(folder / "accounts.db")) as db:
        found = db.execute("select key, followers, views from accounts order by key").fetchall()
    if found != [("instagram.com/esa", 49_100, 12_500), ("x.com/nasa", 92_000, 8_500)]:
        raise TrueupError(f"the demo's accounts came out otherwise: {found}")


class _Hook:
    """A webhook of the demo's own, on loopback, and what it was told."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.told: list[str] = []


@contextmanager
def _hook() -> Iterator[_Hook]:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.told.append(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        hook = _Hook(server.server_port)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield hook
        finally:
            server.shutdown()
            thread.join()


def _import_path() -> Iterator[str]:
    """Where this very trueup is found, whatever the working folder."""
    yield str(Path(__file__).parents[2])
    if given := os.environ.get("PYTHONPATH"):
        yield from (os.path.abspath(entry) for entry in given.split(os.pathsep))  # noqa: PTH100 - an entry may be empty


def _library(target: Path) -> Iterator[tuple[Path, Path]]:
    """Files of the standard library, at most some hundred of them, and where they go."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files, amount = 0, 0
    for source in sorted(root.rglob("*.py"), key=lambda path: (path.parts[len(root.parts)] not in _FIRST, path)):
        inside = source.relative_to(root)
        if _SKIPPED & set(inside.parts) or source.is_symlink():
            continue
        size = source.stat().st_size
        if files == _FILES or amount + size > _BYTES:
            return
        files, amount = files + 1, amount + size
        yield source, target / inside
