"""What a run does for its pair beside its plan: it forgets, expires and warns."""

from __future__ import annotations

from itertools import islice

from trueup.config import SyncConfig
from trueup.filters import Scope
from trueup.sync import trash
from trueup.sync.outputs import Outputs
from trueup.sync.plan import Plan
from trueup.sync.session import Session


def forget_out_of_scope(opened: Session, config: SyncConfig) -> None:
    """A finished run no longer vouches for what it did not look at: including it again later starts afresh."""
    scope = Scope(config.include, config.exclude)
    if scope.everything:
        return
    outside = (row.key for row in opened.state.baseline() if row.key not in scope)
    while batch := list(islice(outside, 1000)):
        with opened.state.transaction():
            opened.state.forget(batch)


def warn_of_public_trash(opened: Session, outputs: Outputs, run: str) -> None:
    """Say once of a bucket that anybody can read it: what is replaced or deleted there stays readable in the trash."""
    first: dict[str, str] = {}
    for side, key in trash.contents(opened.state, run):
        first.setdefault(side, key)
    for name in ("left", "right"):
        store = opened.sides[name]
        side = opened.state.left_side if name == "left" else opened.state.right_side
        note = f"public:{store.url}"
        if side not in first or opened.state.note(note):
            continue
        public = store.is_public(trash.trash_key(run, first[side]))
        opened.state.set_note(note, "public" if public else "private")
        if public:
            message = (
                f"anybody can read {store.url}, and so what is replaced or deleted there: it is kept for 30 days below "
                ".trueup/trash. Make the bucket private or deny that prefix, or use --no-trash"
            )
            outputs.warn(run, message)


def warn_of_lost_times(opened: Session, planned: Plan, outputs: Outputs) -> None:
    """Say that a place cannot keep the times that were asked to go along. Metadata and content types are things of
    buckets, and nobody expects them in a folder."""
    config = planned.header.config
    if "mtime" not in config.preserve or not planned.size():
        return
    for name, spared in (("left", "push"), ("right", "pull")):
        features = opened.sides[name].features
        if config.mode != spared and not (features.metadata or features.keeps_mtime):
            outputs.warn(planned.header.run, f"{opened.sides[name].url} cannot keep modification times")


def expire(opened: Session, outputs: Outputs, run: str) -> None:
    """Empty old trash. A failure here is a warning: the run itself is done."""
    stores = {opened.state.left_side: opened.sides.left, opened.state.right_side: opened.sides.right}
    for old in trash.expired(opened.state):
        _, problems = trash.empty(opened.state, old, stores)
        for problem in problems:
            outputs.warn(run, f"the trash of {old} could not be emptied: {problem}")
        if not problems:
            opened.state.drop_run(old)
