"""A sheet that people edit and fresh numbers, merged into a read model."""

from trueup.records.growth import Growth
from trueup.records.reading import Reader
from trueup.records.readmodel import Listing
from trueup.records.report import ProjectResult, RecordsRun
from trueup.records.verbs import accounts, grown, history, pin, show, status, sync_records, under_way, unpin

__all__ = [
    "Growth",
    "Listing",
    "ProjectResult",
    "Reader",
    "RecordsRun",
    "accounts",
    "grown",
    "history",
    "pin",
    "show",
    "status",
    "sync_records",
    "under_way",
    "unpin",
]
