"""The books against what is there."""

from trueup.reconcile.report import ReconcileRun
from trueup.reconcile.source import Source
from trueup.reconcile.verbs import reconcile, under_way

__all__ = ["ReconcileRun", "Source", "reconcile", "under_way"]
