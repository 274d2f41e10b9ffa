"""A plan's header and items as they are saved, and back: what is read may have been made by anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from trueup import keys
from trueup.config import sync_config
from trueup.runs import new_run_id
from trueup.stores.base import Entry
from trueup.sync.decide import Action
from trueup.sync.header import Header
from trueup.sync.item import PHASES, Item, Phase

FORMAT: Final = 1
_ENTRY: Final = ("size", "mtime_ns", "fingerprint", "md5", "etag")


def saved_item(item: Item) -> dict[str, Any]:
    """An item as it is saved."""
    row = item._asdict() | {"phase": int(item.phase), "action": item.action.value}
    for side in ("left", "right"):
        entry = row[side]
        row[side] = entry and dict(zip(_ENTRY, entry[1:6], strict=True))
    del row["outcome"]
    return row


def saved_header(header: Header) -> dict[str, Any]:
    """A header as it is saved."""
    return {"trueup_plan": FORMAT, **asdict(header)}


def loaded_header(row: Mapping[str, Any], run: str) -> Header:
    """A saved header again, of a plan to be applied under an id; empty for a new one. Raises `ValueError`, `TypeError`,
    `KeyError` and `UsageError`."""
    if row.get("trueup_plan") != FORMAT:
        raise ValueError("the first line is not the header of a plan this version can read")
    config = row["config"]
    return Header(
        run=run or new_run_id(),  # never the one in the file: it becomes part of paths
        config=sync_config(config, where="config"),
        left=_string(row["left"]),
        right=_string(row["right"]),
        left_url=_string(row["left_url"]),
        right_url=_string(row["right_url"]),
        left_entries=number(row["left_entries"]),
        right_entries=number(row["right_entries"]),
        baseline_rows=number(row["baseline_rows"]),
        unchanged=number(row["unchanged"]),
        started_ns=number(row["started_ns"]),
    )


def loaded_item(row: Mapping[str, Any]) -> Item:
    """An item again, without its sequence: every field is checked, every key validated again. Raises `ValueError`,
    `TypeError`, `KeyError` and `AttributeError`."""
    action = Action(row["action"])
    phase = Phase(row["phase"])
    frees = phase is Phase.FREE and action in (Action.DELETE_LEFT, Action.DELETE_RIGHT)
    if phase is not PHASES.get(action, Phase.NOTE) and not frees:
        raise ValueError(f"a {action} cannot run in phase {phase}")
    if phase is not Phase.NOTE:
        _check_keys(row, moves=phase is Phase.MOVE)
    return Item(
        seq=0,
        phase=phase,
        key=_string(row["key"]),
        action=action,
        reason=_string(row["reason"]),
        bytes=number(row["bytes"]),
        left_key=_string(row["left_key"]),
        right_key=_string(row["right_key"]),
        left=_loaded_entry(row, "left"),
        right=_loaded_entry(row, "right"),
        md5=_string(row["md5"]),
        source=_string(row["source"]),
        source_key=_string(row["source_key"]),
        error=_string(row["error"]),
    )


def _check_keys(row: Mapping[str, Any], *, moves: bool) -> None:
    """Each side may spell the key in its own way, and may not name another."""
    spellings = {"left_key": "key", "right_key": "key"} | ({"source_key": "source"} if moves else {})
    for name in {*spellings, *spellings.values()}:
        key = _string(row[name])
        problem = keys.unaddressable(key) or ("it belongs to trueup" if keys.is_reserved(key) else None)
        if problem:
            raise ValueError(f"{name} {key!a} may not be used: {problem}")
    for name, meant in spellings.items():
        if keys.normal(row[name]) != row[meant]:
            raise ValueError(f"{name} {row[name]!a} is not the {meant} {row[meant]!a}")


def _loaded_entry(row: Mapping[str, Any], side: str) -> Entry | None:
    values = row[side]
    if values is None:
        return None
    return Entry(
        _string(row[f"{side}_key"]),
        number(values["size"]),
        _whole(values["mtime_ns"]),  # below zero before 1970
        _string(values["fingerprint"]),
        _string(values["md5"]),
        _string(values["etag"]),
    )


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    value.encode()
    return value


def number(value: object) -> int:
    """A whole number that is not below zero. Raises `TypeError`."""
    if _whole(value) < 0:
        raise TypeError(f"{value!r} is below zero")
    return _whole(value)


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -1 << 63 <= value < 1 << 63:
        raise TypeError(f"{value!r} is not a whole number")
    return value
