"""The shared database behind small protocols."""

from trueup.catalog.database import open_ledger

__all__ = ["open_ledger"]
