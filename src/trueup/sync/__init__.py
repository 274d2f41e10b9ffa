"""Two trees in step: observe, pair, decide, apply, record."""

from trueup.sync.verbs import apply, plan, sync

__all__ = ["apply", "plan", "sync"]
