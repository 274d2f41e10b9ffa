"""The catalog in MongoDB."""

from trueup.catalog.mongo.catalog import open_mongo, upgrade

__all__ = ["open_mongo", "upgrade"]
