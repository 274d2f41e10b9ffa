"""Many clouds as one, each under its quota."""

from trueup.pool.pool import Pool, PoolStats, Uploaded

__all__ = ["Pool", "PoolStats", "Uploaded"]
