"""Two folders, a state folder of their own, and what a test asks of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path

from trueup.config import Settings, SyncConfig
from trueup.sync import apply, plan, sync, undo
from trueup.sync.outputs import Outputs
from trueup.sync.plan import Plan
from trueup.sync.report import SyncRun
from trueup.sync.state import PairState

OLD = 1_500_000_000
"""Seconds; a file this old is trusted by its fingerprint."""

_ages = count(1)


class World:
    """`left` and `right` are folders below `base`. Files get old and different times unless a test says otherwise."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.left = base / "left"
        self.right = base / "right"
        self.left.mkdir(parents=True, exist_ok=True)
        self.right.mkdir(exist_ok=True)
        self.settings = Settings(home=base / "state", environ={})
        self.specs = (str(self.left), str(self.right))

    def __getitem__(self, side: str) -> Path:
        return self.left if side == "left" else self.right

    # Edits

    def put(
        self, side: str, key: str, data: bytes | str = b"", *, mtime_ns: int | None = None, new: bool = False
    ) -> Path:
        """Write a file as a user would, in place. `new`: its time is this moment's."""
        path = self[side] / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        if not new:
            stamp = (OLD + next(_ages)) * 1_000_000_000 if mtime_ns is None else mtime_ns
            os.utime(path, ns=(stamp, stamp))
        return path

    def both(self, files: Mapping[str, bytes | str]) -> None:
        """Agree on these files."""
        for key, data in files.items():
            self.put("left", key, data)
        assert self.sync().status == "ok"

    def remove(self, side: str, key: str) -> None:
        """Remove a file or a folder, and the folders that become empty."""
        path = self[side] / key
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        for folder in path.parents:
            if folder == self[side]:
                break
            try:
                folder.rmdir()
            except OSError:
                break

    # Runs

    def sync(self, *, outputs: Outputs | None = None, dry_run: bool = False, **options: object) -> SyncRun:
        return sync(*self.specs, config=SyncConfig(**options), settings=self.settings, outputs=outputs, dry_run=dry_run)

    def plan(self, **options: object) -> Plan:
        return plan(*self.specs, settings=self.settings, **options)

    def apply(self, planned: Plan) -> SyncRun:
        return apply(planned, settings=self.settings)

    def undo(self, run: SyncRun | str) -> SyncRun:
        return undo(run if isinstance(run, str) else run.run, settings=self.settings)

    # Looks

    def tree(self, side: str) -> dict[str, bytes]:
        """Every file but trueup's own, with its bytes."""
        return files(self[side])

    def trees(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        return self.tree("left"), self.tree("right")

    def trash(self, side: str) -> list[bytes]:
        """The bytes of every version in the trash."""
        return list(files(self[side] / ".trueup").values())

    def temporaries(self) -> list[str]:
        return sorted(str(path.relative_to(self.base)) for path in self.base.rglob(".trueup-*"))

    def state(self) -> closing[PairState]:
        """The pair's state; keys and prints are those of the left and right side."""
        return closing(PairState.at(self.settings.home, f"file://{self.left}", f"file://{self.right}"))

    def baseline(self) -> dict[str, tuple[int, str]]:
        """Size and MD5 agreed on, by key."""
        with self.state() as state:
            return {row.key: (row.size, row.md5) for row in state.baseline()}

    def held(self) -> set[str]:
        with self.state() as state:
            return set(state.held())

    def swapped(self) -> World:
        """The same two places, named the other way round."""
        other = object.__new__(World)
        other.base, other.left, other.right = self.base, self.right, self.left
        other.settings = replace(self.settings)
        other.specs = self.specs[::-1]
        return other


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for tests of hundreds of runs: in memory where the system has one, because each run waits for fsync."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


def files(root: Path) -> dict[str, bytes]:
    """Regular files below a folder, `.trueup` left out."""
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != ".trueup"]
        for name in names:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                found[path.relative_to(root).as_posix()] = path.read_bytes()
    return found


def done(run: SyncRun) -> dict[str, int]:
    """What a run counted, zeros left out."""
    return {str(name): number for name, number in run.counts.items() if number}


def outcomes(run: SyncRun) -> dict[str, tuple[str, str]]:
    """Action and outcome by key."""
    return {str(item["key"]): (str(item["action"]), str(item["outcome"])) for item in run.items}


def reasons(run: SyncRun) -> dict[str, str]:
    return {str(item["key"]): str(item["reason"]) for item in run.items}


def versions(*collections: Mapping[str, bytes] | list[bytes]) -> Counter[bytes]:
    """Every content that exists anywhere."""
    found: Counter[bytes] = Counter()
    for collection in collections:
        found.update(collection.values() if isinstance(collection, Mapping) else collection)
    return found


def nothing_to_do(run: SyncRun) -> bool:
    """A run that found both sides in step: no item, no byte."""
    return run.status == "ok" and not run.items and not run.differences and set(done(run)) <= {"unchanged"}
