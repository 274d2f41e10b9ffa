"""A URL into the pool."""

from trueup.downloads.clean import Cleaned, clean_failed, clean_old
from trueup.downloads.config import DownloadsConfig, downloads_config
from trueup.downloads.fetch import Fetched, Fetcher

__all__ = ["Cleaned", "DownloadsConfig", "Fetched", "Fetcher", "clean_failed", "clean_old", "downloads_config"]
