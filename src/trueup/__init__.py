"""trueup brings two places that should agree into agreement, and keeps them there.

    import trueup

    plan = trueup.plan("media/", "r2://site/media", prefer="right")
    run = trueup.apply(plan)

Names are imported when they are first used, so that `import trueup` alone costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

TYPE_CHECKING = False  # importing `typing` would take longer than all the rest of `trueup --version`
if TYPE_CHECKING:
    from trueup import errors
    from trueup.ingest.diagnose import diagnose
    from trueup.ingest.verbs import ingest, should_process
    from trueup.jobs import run_job
    from trueup.notify import send_storage_alert
    from trueup.pool import Pool
    from trueup.reconcile.verbs import reconcile
    from trueup.records import sync_records
    from trueup.stores import open_store
    from trueup.sync.undo import undo
    from trueup.sync.verbs import apply, plan, sync

__version__ = "0.1.0"

__all__ = [
    "Pool",
    "__version__",
    "apply",
    "diagnose",
    "errors",
    "ingest",
    "open_store",
    "plan",
    "reconcile",
    "run_job",
    "send_storage_alert",
    "should_process",
    "sync",
    "sync_records",
    "undo",
]

_HOMES = {
    "Pool": "trueup.pool",
    "apply": "trueup.sync.verbs",
    "diagnose": "trueup.ingest",
    "open_store": "trueup.stores",
    "plan": "trueup.sync.verbs",
    "run_job": "trueup.jobs",
    "send_storage_alert": "trueup.notify",
    "should_process": "trueup.ingest",
    "sync_records": "trueup.records",
    "undo": "trueup.sync.undo",
}
_MODULES = ("errors", "ingest", "reconcile", "sync")
_VERBS = ("ingest", "reconcile", "sync")
"""Packages that are called by their own name: `trueup.sync(...)` is `trueup.sync.sync(...)`."""


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(f"trueup.{name}")
    raise AttributeError(f"module 'trueup' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _Verb(ModuleType):
    """A package whose name is also what it does."""

    def __call__(self, *arguments: object, **options: object) -> object:
        verb = getattr(self, self.__name__.rpartition(".")[2])
        return verb(*arguments, **options)


class _Package(ModuleType):
    """The import system binds a package's modules by setting attributes; the verbs among them become callable then."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _VERBS and isinstance(value, ModuleType):
            value.__class__ = _Verb
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
