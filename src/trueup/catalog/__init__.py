"""The shared database behind small protocols."""

from trueup.catalog.database import open_catalog

__all__ = ["open_catalog"]
