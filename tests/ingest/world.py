"""The job `stats`, which takes files out of a folder, and what a test asks of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

import trueup
from tests.ingest.bot import TABLE
from tests.servers import Bucket
from trueup.catalog.database import upgrade
from trueup.config import Settings, load
from trueup.ingest import job, verbs
from trueup.ingest.report import IngestRun
from trueup.testing import FaultyStore

ROOT = Path(__file__).parents[2]
OLD = 1_500_000_000
"""Seconds; a file this old is stable, and its looks are trusted."""

_ages = count(1)


class World:
    """A drop folder, a local folder and a database below `base`. `server` serves the drop folder, where it is not just
    a folder of this machine; `options` are the job's."""

    def __init__(
        self, base: Path, *, server: Bucket | None = None, drop: Path | None = None, database: str = "", **options: str
    ) -> None:
        self.base = base
        self.drop = drop or base / "drop"
        self.local = base / "local"
        self.server = server
        self.database = database or f"sqlite:///{base / 'bot.db'}"
        self.options = {"handler": "tests.ingest.bot:import_file", "include": ["*.txt"], "stable_for": "0s"} | options
        self.drop.mkdir(parents=True, exist_ok=True)

    def set(self, **options: object) -> None:
        """Change the job's settings."""
        self.options |= options

    @property
    def settings(self) -> Settings:
        path = self.base / "trueup.toml"
        lines = ["[database]", f'url = "{self.database}"', "[ingest.stats]", 'into = "local"']
        lines += [f"{name} = {json.dumps(value)}" for name, value in self.options.items()]
        if "source" not in self.options:
            lines.append(f'source = "{"drop-server" if self.server else self.drop}"')
        if self.server:
            lines += ["[stores.drop-server]", f'url = "{self.server.url}"']
            lines += [f'{name} = "{value}"' for name, value in self.server.options.items()]
        path.write_text("\n".join(lines))
        return load(path)

    # ----- edits -----

    def put(self, key: str, content: str, *, mtime: float | None = None) -> Path:
        """Write a file as who fills the drop folder would; old, and of a time of its own, unless a test says so."""
        path = self.drop / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        stamp = OLD + next(_ages) if mtime is None else mtime
        os.utime(path, (stamp, stamp))
        return path

    def fill(self, files: int, content: str = "round") -> set[str]:
        """That many files; their names."""
        names = [f"2024-03-24-{number:06}-supply.txt" for number in range(files)]
        for name in names:
            self.put(name, f"{content} {name}")
        return set(names)

    def empty_table(self) -> None:
        """Make the table that the handler writes into, once."""
        if self.database.startswith("postgresql"):
            upgrade(self.database)
        self.run(TABLE)

    # ----- runs -----

    def ingest(self, *, home: Path | None = None, **options: object) -> IngestRun:
        settings = self.settings if home is None else replace(self.settings, home=home)
        return trueup.ingest("stats", settings=settings, **options)

    def command(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """The command line in a process of its own."""
        assert self.settings
        paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
        return subprocess.Popen(
            [sys.executable, "-m", "trueup", "ingest", "stats", "--json", *arguments],
            cwd=self.base,
            env=os.environ | {"PYTHONPATH": paths} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def restart() -> None:
        """What a new process would have in memory: nothing."""
        verbs._close_all()
        verbs._memories.clear()

    def faulty(self, monkeypatch: pytest.MonkeyPatch) -> FaultyStore:
        """Let the drop folder go wrong where the test says."""
        opened = job.open_store
        store = FaultyStore(opened(self.source_config(), {}))
        monkeypatch.setattr(job, "open_store", lambda *_: store)
        return store

    def source_config(self) -> object:
        from trueup.ingest.config import ingest_config

        return ingest_config("stats", self.settings).source

    # ----- looks -----

    def effects(self) -> dict[str, list[str]]:
        """What each file's content was at each of its effects, first to last."""
        found: dict[str, list[str]] = {}
        for name, content in self.query("select name, content from effects order by version"):
            found.setdefault(name, []).append(content)
        return found

    def once(self, names: set[str]) -> bool:
        """Whether these files had one effect each, and no other had any."""
        effects = self.effects()
        return set(effects) == names and all(len(contents) == 1 for contents in effects.values())

    def rows(self) -> dict[str, Mapping[str, object]]:
        """The rows of `processed_files`, by name."""
        with self._connected() as db:
            rows = db.execute(sa.text("select * from processed_files")).mappings()
            return {row["filename"]: dict(row) for row in rows}

    def query(self, statement: str) -> list[tuple[object, ...]]:
        with self._connected() as db:
            return [tuple(row) for row in db.execute(sa.text(statement))]

    def run(self, *statements: str) -> None:
        """Write to the database behind trueup's back."""
        with self._connected() as db:
            for statement in statements:
                db.execute(sa.text(statement))

    def files(self) -> dict[str, str]:
        """All that lies in the local folder, temporary files too."""
        return {
            path.relative_to(self.local).as_posix(): path.read_text()
            for path in self.local.rglob("*")
            if path.is_file()
        }

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        engine = sa.create_engine(self.database.replace("postgresql:", "postgresql+psycopg:"))
        try:
            with engine.begin() as db:
                yield db
        finally:
            engine.dispose()


def done(run: IngestRun) -> dict[str, int]:
    """What a run counted, zeros and the total left out."""
    return {
        name: number for name, number in run.counts.items() if isinstance(number, int) and number and name != "listed"
    }


def layers(run: IngestRun) -> dict[str, int]:
    """Which layer knew how many files, zeros left out."""
    return {name: number for name, number in run.counts["already_by_layer"].items() if number}


def outcomes(run: IngestRun) -> dict[str, str]:
    return {str(item["path"]): str(item["outcome"]) for item in run.items}
