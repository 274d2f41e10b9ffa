"""The helper's listing of a service that has folders: one folder after the other. See `trueup.stores.lister`."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from trueup import keys
from trueup.stores.base import Entry
from trueup.stores.frames import HEARTBEAT, PAGE, send
from trueup.stores.rows import Row
from trueup.stores.service_rows import found_of, unaddressable

if TYPE_CHECKING:
    from opendal import Operator


class TreeListing:
    """One listing under way. OpenDAL lists a whole tree by itself, but then one folder that cannot be read ends it."""

    def __init__(self, operator: Operator, request: dict[str, Any]) -> None:
        self._operator = operator
        self._prefix: str = request["prefix"]
        self._page: list[Row] = []
        self._count = 0
        self._due = monotonic() + HEARTBEAT

    def run(self) -> None:
        """List everything, or raise."""
        waiting = [""]
        while waiting:
            self._folder(waiting.pop(), waiting)
            if monotonic() > self._due:  # the parent takes long silence for a stall
                self.send_page()
        self.send_page()
        send(("finished", self._count))

    def _folder(self, folder: str, waiting: list[str]) -> None:
        """One folder: its key with a slash, empty for the root. New ones are added to `waiting`."""
        from opendal.exceptions import NotFound, PermissionDenied

        path = f"{self._prefix}{folder}" or "/"
        try:
            for found in self._operator.list(path):
                key = found.path.removeprefix(self._prefix)
                name = key.rstrip("/")
                if found.path == path or not name or keys.is_reserved(name):
                    continue
                if why := unaddressable(name, self._prefix, tree=True):
                    self._add(Entry(name, fault="unaddressable", detail=why))
                elif found.metadata.is_dir:
                    waiting.append(key)
                else:
                    self._add(found_of(key, found.metadata).entry)
        except NotFound:
            if not folder:
                raise  # below the root it is gone since its parent was read: absent
        except PermissionDenied:
            if not folder:
                raise
            detail = "the folder cannot be read: access was denied"
            self._add(Entry(folder[:-1], fault="unreadable", detail=detail))

    def _add(self, entry: Entry) -> None:
        self._count += 1
        self._page.append((*entry,))
        if len(self._page) >= PAGE:
            self.send_page()

    def send_page(self) -> None:
        """Send what came so far, if only to say that somebody is at work."""
        self._due = monotonic() + HEARTBEAT
        send(("rows", self._page))
        self._page.clear()
