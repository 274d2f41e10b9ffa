"""The catalog in MongoDB."""

from trueup.catalog.mongo.catalog import check, open_mongo, upgrade

__all__ = ["check", "open_mongo", "upgrade"]
