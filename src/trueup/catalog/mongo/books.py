"""What becomes of one provider's document: filters and pipelines (no I/O).

The document holds the counters, the reservations, the removals and corrections under way and the messages, so that one
update changes them together. Numbers that are missing count as 0: without that a document of another application would
promise anything. Whatever comes from outside is `$literal`: a key may begin with `$`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from trueup.catalog.base import Limits, now

Expression = dict[str, Any]
Pipeline = list[dict[str, Any]]


def of(provider: str) -> Expression:
    """The document of a provider."""
    return {"provider": {"$eq": provider}}


def unbooked(upload: str, **more: object) -> Expression:
    """A reservation that is a promise still, with such fields."""
    return {"reservations": {"$elemMatch": {"id": upload, "booked": None, **more}}}


def _number(name: str) -> Expression:
    return {"$ifNull": [f"${name}", 0]}


def _list(name: str) -> Expression:
    return {"$ifNull": [f"${name}", []]}


SUMS: Final = (
    "total_size_bytes",
    "file_count",
    "reserved_bytes",
    "unowned_count",
    "unowned_bytes",
    "is_full",
    "alert_sent",
    "last_updated",
)
"""What a backup holds of a provider's document."""
_SUMS: Final = {name: f"${name}" for name in SUMS}
_USED: Final = {"$add": [_number("total_size_bytes"), _number("reserved_bytes")]}


def _is(one: str) -> Expression:
    """Whether an element of a list is this one."""
    return {"$eq": ["$$one.id", {"$literal": one}]}


def _only(name: str, condition: Expression) -> Expression:
    return {"$filter": {"input": _list(name), "as": "one", "cond": condition}}


def _each(name: str, condition: Expression, changes: Expression) -> Expression:
    """A list with the elements changed for which the condition holds."""
    changed = {"$cond": [condition, {"$mergeObjects": ["$$one", changes]}, "$$one"]}
    return {"$map": {"input": _list(name), "as": "one", "in": changed}}


def _sum_of(corrections: str, change: str) -> Expression:
    """What corrections change a number by."""
    return {"$sum": {"$map": {"input": f"${corrections}", "as": "one", "in": f"$$one.change.{change}"}}}


_TAKING: Final = ("reservations", "corrections")
"""What a key may be in: one at a time."""
_CHANGED: Final = {
    "total_size_bytes": "size",
    "file_count": "count",
    "unowned_count": "unowned_count",
    "unowned_bytes": "unowned_bytes",
}
"""Numbers of a provider's document, and what changes them in a correction."""

TAKEN_OVER: Final[Pipeline] = [
    {"$set": {"unowned_bytes": _number("total_size_bytes"), "unowned_count": _number("file_count")}}
]
"""Of totals that another application wrote, nothing is known but that it takes room."""


def empty(provider: str) -> dict[str, Any]:
    """The document of a new provider."""
    numbers = ("total_size_bytes", "file_count", "reserved_bytes", "unowned_count", "unowned_bytes", "seq")
    flags = {"alert_sent": False, "is_full": False}
    return {"provider": provider, **dict.fromkeys(numbers, 0), **flags, "last_updated": now()}


def renewed(tokens: Iterable[str], until: datetime) -> Pipeline:
    """Leases that end then."""
    named = {"$in": ["$$one.token", {"$literal": list(tokens)}]}
    return [{"$set": {"reservations": _each("reservations", named, {"lease_until": until})}}]


def booked(upload: str, size: int, md5: str, at: datetime) -> Pipeline:
    """A reservation that is to become an object."""
    facts = {"booked": {"$literal": {"size": size, "md5": md5, "at": at}}}
    return [{"$set": {"reservations": _each("reservations", _is(upload), facts)}}]


def asked(corrections: Sequence[Mapping[str, Any]], sums: Mapping[str, int]) -> Pipeline:
    """More corrections under way, but none whose key is taken; and only where those of the provider's sums that are
    given are still these."""
    taken = [{"$map": {"input": _list(name), "as": "each", "in": "$$each.key"}} for name in _TAKING]
    free: Expression = {"$not": [{"$in": ["$$one.key", {"$concatArrays": taken}]}]}
    free = {"$and": [free, *({"$eq": [_number(name), number]} for name, number in sums.items())]}
    following = {"$add": [_number("seq"), 1]}
    chosen = {"$filter": {"input": {"$literal": list(corrections)}, "as": "one", "cond": free}}
    new = {"$map": {"input": chosen, "as": "one", "in": {"$mergeObjects": ["$$one", {"seq": following}]}}}
    return [{"$set": {"corrections": {"$concatArrays": [_list("corrections"), new]}, "seq": following}}]


def decided(ids: Sequence[str], good: Sequence[str]) -> Pipeline:
    """Of these corrections, those that are good are to be done, and the others are no more; if nobody has decided."""
    is_open = {"$and": [{"$in": ["$$one.id", {"$literal": list(ids)}]}, {"$not": ["$$one.decided"]}]}
    is_good = {"$in": ["$$one.id", {"$literal": list(good)}]}
    kept = {"corrections": _only("corrections", {"$or": [{"$not": [is_open]}, is_good]})}
    return [{"$set": kept}, {"$set": {"corrections": _each("corrections", is_good, {"decided": True})}}]


def suspected(upload: str) -> Pipeline:
    """A reservation that nobody is at work on."""
    facts = {"lease_until": now(), "idempotency": ""}
    return [{"$set": {"reservations": _each("reservations", _is(upload), facts)}}]


def put_off(message: str, error: str, again: datetime, delivered: Iterable[str]) -> Pipeline:
    """A message that could not be sent to everybody."""
    told = {"error": {"$literal": error}, "delivered": {"$literal": list(delivered)}}
    facts = {"attempts": {"$add": ["$$one.attempts", 1]}, "due_at": again, **told}
    return [{"$set": {"outbox": _each("outbox", _is(message), facts)}}]


class Books:
    """The updates that decide about room. `limits` by provider; one without any promises none."""

    def __init__(self, limits: Mapping[str, Limits]) -> None:
        self._limits = limits

    def promised(self, provider: str, reservation: Mapping[str, Any]) -> Pipeline:
        """One reservation more where there is room for it, else a provider that is full."""
        fits, more = self._fits(provider, reservation["reserved"]), reservation["reserved"]
        following = {"$add": [_number("seq"), 1]}
        new = {"$mergeObjects": [{"$literal": dict(reservation)}, {"seq": following}]}
        changes = {
            "reservations": {"$concatArrays": [_list("reservations"), [new]]},
            "reserved_bytes": {"$add": [_number("reserved_bytes"), more]},
            "seq": following,
        }
        return self._taken(provider, fits, changes, more)

    def grown(self, provider: str, upload: str, size: int, more: int) -> Pipeline:
        """A reservation for so many bytes where there is room for it, else a provider that is full."""
        sizes = {"size": size, "reserved": {"$add": ["$$one.reserved", more]}}
        changes = {
            "reservations": _each("reservations", _is(upload), sizes),
            "reserved_bytes": {"$add": [_number("reserved_bytes"), more]},
        }
        return self._taken(provider, self._fits(provider, more), changes, more)

    def _of(self, provider: str) -> Limits:
        return self._limits.get(provider, Limits(quota=0, full_below=0))

    def _fits(self, provider: str, more: int) -> Expression:
        if not more:  # let in even where a quota was lowered below what is there
            return {"$literal": True}
        return {"$lte": [{"$add": [_USED, more]}, self._of(provider).quota]}

    def _taken(self, provider: str, fits: Expression, changes: Expression, more: int) -> Pipeline:
        """The changes where they fit. The flag comes first: with the changes, nobody could say whether they did."""
        before = {name: _list(name) if name == "reservations" else _number(name) for name in changes}
        chosen = {name: {"$cond": [fits, value, before[name]]} for name, value in changes.items()}
        # What is larger than the whole quota finds no room in an empty one either.
        refused = {"is_full": {"$not": [fits]} if more <= self._of(provider).quota else {"$literal": False}}
        either = {"is_full": {"$or": ["$is_full", self._full(provider)]}}
        return [{"$set": refused | chosen}, {"$set": either | {"last_updated": now()}}, *self._told(provider)]

    def _full(self, provider: str) -> Expression:
        limits = self._of(provider)
        return {"$lt": [{"$subtract": [limits.quota, _USED]}, limits.full_below]}

    def refused(self, provider: str) -> Pipeline:
        """A provider that is full."""
        return [{"$set": {"is_full": True, "last_updated": now()}}, *self._told(provider)]

    def settled(self, provider: str, one: str, *, size: int = 0, count: int = 0) -> Pipeline:
        """A reservation or a removal that is over, with what it made of the books."""
        returned = {"$map": {"input": _only("reservations", _is(one)), "as": "one", "in": "$$one.reserved"}}
        others = {"$not": [_is(one)]}
        changes = {
            "reservations": _only("reservations", others),
            "removals": _only("removals", others),
            "reserved_bytes": {"$subtract": [_number("reserved_bytes"), {"$sum": returned}]},
            "total_size_bytes": {"$add": [_number("total_size_bytes"), size]},
            "file_count": {"$add": [_number("file_count"), count]},
            "last_updated": now(),
        }
        full = {"is_full": self._full(provider)}
        return [{"$set": changes}, {"$set": full}, *self._told(provider, freed=size < 0)]

    def amended(self, provider: str, backup: str, ids: Sequence[str]) -> Pipeline:
        """Corrections that are done, with what they make of the books; and what the sums were before the backup began,
        unless somebody else has changed them since, and are now."""
        mine = {"$in": ["$$one.id", {"$literal": list(ids)}]}
        changes = {name: {"$add": [_number(name), _sum_of("done", by)]} for name, by in _CHANGED.items()}
        others = {"corrections": _only("corrections", {"$not": [mine]}), "last_updated": now()}
        same, this = {"$eq": ["$undo.after", _SUMS]}, {"$eq": ["$undo.id", {"$literal": backup}]}
        before = {"$cond": [this, {"$cond": [same, "$undo.before", None]}, _SUMS]}
        begun = {"$mergeObjects": [{"id": {"$literal": backup}, "before": before}]}
        return [
            {"$set": {"undo": begun, "done": _only("corrections", mine)}},
            {"$set": changes | others},
            {"$unset": "done"},
            {"$set": {"is_full": self._full(provider)}},
            *self._told(provider, freed=True),
            {"$set": {"undo": {"$mergeObjects": ["$undo", {"after": _SUMS}]}}},
        ]

    def _told(self, provider: str, *, freed: bool = False) -> Pipeline:
        """The message that a provider has become full, once, until it has been emptied well. What never was so full is
        only emptied when something is `freed`, or when its quota is another one."""
        limits = self._limits.get(provider)
        if limits is None:
            return []
        sent = {"$eq": ["$alert_sent", True]}
        due = {"$and": ["$is_full", {"$not": [sent]}]}
        other = {"$ne": ["$alert_limit", limits.quota]}
        over = {"$and": [{"$not": ["$is_full"]}, {"$lt": [_USED, limits.rearm_below]}, {"$or": [freed, other]}]}
        facts = {"used_bytes": _USED, "limit_bytes": limits.quota, "file_count": _number("file_count")}
        at = now()
        message = {
            "id": f"msg_{uuid.uuid4().hex}",
            "kind": "pool.full",
            "payload": {"provider": {"$literal": provider}, **facts},
            "created_at": at,
            "due_at": at,
            "attempts": 0,
            "error": "",
        }
        changes = {
            "outbox": {"$concatArrays": [_list("outbox"), {"$cond": [due, [message], []]}]},
            "alert_sent": {"$or": [due, {"$and": [sent, {"$not": [over]}]}]},
            "alert_limit": {"$cond": [{"$or": [due, over]}, limits.quota, {"$ifNull": ["$alert_limit", None]}]},
        }
        return [{"$set": changes}]
