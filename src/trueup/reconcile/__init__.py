"""The books against what is there."""

from trueup.reconcile.report import ReconcileRun
from trueup.reconcile.verbs import Options, reconcile

__all__ = ["Options", "ReconcileRun", "reconcile"]
