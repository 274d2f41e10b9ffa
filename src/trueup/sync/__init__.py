"""Two trees in step: observe, pair, decide, apply, record."""

from trueup.sync.explain import explain
from trueup.sync.session import under_way
from trueup.sync.undo import undo
from trueup.sync.verbs import apply, plan, sync

__all__ = ["apply", "explain", "plan", "sync", "under_way", "undo"]
