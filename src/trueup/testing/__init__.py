"""For whoever tests against trueup, or writes a store: real fakes and the suite every store passes.

MemoryStore     a bucket in this process, with every rule of the contract
FaultyStore     wraps a store and breaks it where the test says
StoreContract   the conformance suite: subclass it with a `store` fixture (needs pytest)
SheetsServer    Google Sheets on loopback (needs google-api-python-client, jsonschema and cryptography)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trueup.testing.faulty import FaultyStore
from trueup.testing.memory import MemoryStore

if TYPE_CHECKING:
    from trueup.testing.contract import StoreContract
    from trueup.testing.sheets import SheetsServer

__all__ = ["FaultyStore", "MemoryStore", "SheetsServer", "StoreContract"]


def __getattr__(name: str) -> object:
    """What needs more packages is imported when it is asked for: `memory://` must work where there is no pytest."""
    if name == "SheetsServer":
        from trueup.testing.sheets import SheetsServer

        return SheetsServer
    if name == "StoreContract":
        from trueup.testing.contract import StoreContract

        return StoreContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
