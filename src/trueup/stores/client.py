"""One bucket's client: the operator, made at first use, and what every operation needs around it."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from contextlib import closing
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Final

from trueup import keys
from trueup.errors import AccessDenied, BucketMissing, NotFound, PreconditionFailed, StoreError, Unaddressable
from trueup.stores import credentials, faults, listing, operators, probe
from trueup.stores.base import Entry
from trueup.stores.place import Place
from trueup.stores.rows import seen, unaddressable

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store
    from opendal import Operator
    from opendal.types import Metadata

_DATE: Final = re.compile(r'"date": "([^"]+)"')
_OF_A_FILE: Final = re.compile(r"([A-Za-z]+) \((?:permanent|persistent|temporary)\)")


class Client:
    """Safe to use from many threads."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.service = place.service
        self.lock = threading.RLock()
        self.bucket_seen = False
        """The bucket has answered as a bucket: a missing object is just that."""
        self._operator: Operator | None = None
        self._conditions: probe.Conditions | None = None
        self._signer: AzureStore | GCSStore | S3Store | None = None
        self._bucket: Operator | None = None
        self.room = threading.BoundedSemaphore(place.concurrency) if place.concurrency else None
        """What each request waits for, where their number is limited."""

    @property
    def operator(self) -> Operator:
        """The operator. Raises `ForkedProcess` in a forked child."""
        operators.check_not_forked()
        if self._operator is None:
            with self.lock:
                if self._operator is None:
                    self._operator = self._build(self.place.options)
        return self._operator

    @property
    def bucket(self) -> Operator:
        """An operator for the whole bucket, whatever the prefix. Raises `ForkedProcess` in a forked child."""
        operators.check_not_forked()
        if self._bucket is None:
            with self.lock:
                if self._bucket is None:
                    self._bucket = self._build({**self.place.options, "root": "/"})
        return self._bucket

    def _build(self, options: Mapping[str, str]) -> Operator:
        place = self.place
        with _Asking(self, "open", ""):
            return operators.build(place.service, options, timeout=place.timeout, retries=place.retries)

    def shares_bucket(self, other: Client) -> bool:
        """Whether both are prefixes of one bucket, reached in one way and by one user, and what is written here gets
        nothing that it does not have there."""
        ours, theirs = ({**client.place.options, "root": ""} for client in (self, other))
        adds = self.place.cache_control or self.place.content_type
        return self.place.service == other.place.service and ours == theirs and not adds

    def asking(self, doing: str, key: str = "") -> _Asking:
        """A `with` block around one request, in which OpenDAL's exceptions become ours."""
        return _Asking(self, doing, key, self.room)

    def parts(self, count: int) -> int:
        """How many parts of one object may travel at once: where requests are counted, each goes by itself."""
        return 1 if self.room is not None else count

    def check(self, key: str) -> None:
        """Raise `Unaddressable` for a key the client would turn into another one."""
        if why := unaddressable(key, self.service, self.place.prefix):
            raise Unaddressable(f"'{keys.display(key)}' cannot be used in {self.place.url}: {why}", cure="Rename it")

    def stat(self, key: str) -> Entry:
        """The object now, or `NotFound`."""
        return self.look(key)[0]

    def look(self, key: str) -> tuple[Entry, Metadata]:
        """The object now, and all that the client tells of it, or `NotFound`."""
        operator = self.operator
        with self.asking("look at", key):
            found = operator.stat(key)
        self.bucket_seen = True
        return Entry._make(seen(key, found, self.service)), found

    def confirm(self) -> float:
        """Ask for an object that is not there. The answer has a body, unlike that to a HEAD, and tells what is wrong:
        `BucketMissing`, `AccessDenied` and so on. Returns the server's clock, in seconds since 1970, or 0 if it told
        none.
        """
        from opendal.exceptions import NotFound as Absent

        operator = self.operator
        clock = 0.0
        with self.asking("reach"):
            try:
                operator.read(f"{keys.RESERVED}/no-such-object-{os.urandom(8).hex()}")
            except Absent as error:
                text = str(error)
                if found := _DATE.search(text):
                    clock = parsedate_to_datetime(found[1]).timestamp()
                if faults.names_bucket(text):
                    raise
        if self.service == "gcs" and not self.bucket_seen:
            # Google's answer is the same for a missing bucket. The helper lists: the lister would hold the GIL here.
            with closing(listing.entries(self.place, ordered=False)) as entries:
                next(entries, None)
        self.bucket_seen = True
        return clock

    def conditions(self) -> probe.Conditions:
        """What the server checks by itself. The first call probes, which writes and deletes one small object."""
        if self._conditions is None:
            operator = self.operator
            with self.lock:
                if self._conditions is None:
                    self._conditions = probe.conditions(operator)
        return self._conditions

    @property
    def probed(self) -> probe.Conditions:
        """What the server checks as far as it is known: nothing, before the first call of `conditions`."""
        return self._conditions or probe.Conditions()

    def signer(self) -> AzureStore | GCSStore | S3Store | None:
        """The obstore store that signs."""
        from trueup.stores.signing import signer

        with self.lock:
            if self._signer is None:
                self._signer = signer(self.place)
            return self._signer

    def is_public(self, key: str) -> bool:
        """Whether a request without credentials may read the object."""
        from opendal.exceptions import Error, PermissionDenied, Unexpected, Unsupported
        from opendal.exceptions import NotFound as Absent

        place = self.place
        options = {name: value for name, value in place.options.items() if name not in credentials.SECRET}
        stranger = operators.build(
            place.service, {**options, "skip_signature": "true"}, timeout=place.timeout, retries=0
        )
        try:
            stranger.read(key, size=1)
        except (Error, Absent, PermissionDenied, Unexpected, Unsupported):
            return False
        return True

    def require(self, key: str, planned: Entry) -> Entry:
        """The object now, if it is still as planned, else `PreconditionFailed` (`NotFound` when it is gone)."""
        now = self.stat(key)
        if not same(now, planned):
            raise self.drifted(key)
        return now

    def target(self, key: str, planned: Entry | None) -> Entry | None:
        """What a write will replace: the planned object, or nothing where nothing was planned, else
        `PreconditionFailed`."""
        try:
            now = self.stat(key)
        except NotFound:
            now = None
        if (now is None) != (planned is None) or (now is not None and planned is not None and not same(now, planned)):
            raise self.drifted(key)
        return now

    def drifted(self, key: str) -> PreconditionFailed:
        """The error for an object that is no longer as planned."""
        return PreconditionFailed(
            f"'{keys.display(key)}' in {self.place.url} is no longer what it was", cure="Run again to look at it afresh"
        )

    def explained(self, error: StoreError, text: str, key: str) -> StoreError:
        """A better error where the answer to a HEAD, which has no body, says less than it should."""
        code_told = 'code: "' in text
        if not key or (code_told and "GcsError" not in text):
            return error
        vague = (isinstance(error, NotFound) and not self.bucket_seen) or (
            isinstance(error, AccessDenied) or "status: 400" in text
        )
        if not vague:
            return error
        try:
            self.confirm()
        except BucketMissing as better:
            return better
        except StoreError as better:
            # Listing is a right of its own: what it lacks says nothing about this object.
            if isinstance(error, NotFound) or better.message.endswith("access was denied"):
                return error
            return better
        return error


def same(now: Entry, planned: Entry) -> bool:
    """Whether an object still is the planned one: by ETag, where the plan has one, else by fingerprint."""
    if now.size != planned.size:
        return False
    if planned.etag:
        return now.etag == planned.etag
    if planned.fingerprint:
        return now.fingerprint == planned.fingerprint
    return bool(planned.md5) and now.md5 == planned.md5


class _Asking:
    """Turns OpenDAL's exceptions into ours. A class, because it is entered for each of many small files."""

    __slots__ = ("_client", "_doing", "_key", "_room")

    def __init__(self, client: Client, doing: str, key: str, room: threading.BoundedSemaphore | None = None) -> None:
        self._client = client
        self._doing = doing
        self._key = key
        self._room = room

    def __enter__(self) -> None:
        if self._room is not None:
            self._room.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._room is not None:
            self._room.release()
        if kind is None:
            return
        name, text = kind.__name__, str(error)
        if issubclass(kind, OSError) and (found := _OF_A_FILE.match(text)):
            name = found[1]  # OpenDAL's files raise what Python's files raise
        elif not kind.__module__.startswith("opendal"):
            return
        client = self._client
        made = faults.translate(name, text, client.place, doing=self._doing, key=self._key)
        # Without its cause: OpenDAL's text shows request URIs, and a SAS token is part of those.
        raise client.explained(made, text, self._key) from None
