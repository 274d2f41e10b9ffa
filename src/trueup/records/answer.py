"""The JSON answer of an API as fresh numbers (no I/O)."""

from __future__ import annotations

import json
from collections.abc import Collection

from trueup.records.cells import text
from trueup.records.config import RecordsConfig
from trueup.records.fresh import Fresh
from trueup.records.issues import DUPLICATE_KEY, MISSING_COLUMN, PARSED_UNAVAILABLE, Issue, Trouble
from trueup.records.profile import profile_key


def read_answer(body: bytes, config: RecordsConfig, keys: Collection[str]) -> Fresh:
    """What the rows of an answer say of `keys`; the others are left out. Of several rows of one account the first
    counts. Raises `Trouble` for what is no JSON, or not of the form that the settings describe."""
    rows, asked = _rows(body, config.parsed.rows), frozenset(keys)
    places = {name: config.parsed.fields.get(name, name).split(".") for name in (config.key, *config.fields)}
    fresh, unnamed, met = Fresh(), 0, dict.fromkeys(places, 0)
    repeated: dict[str, list[int]] = {}
    first: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        said = {name: _found(row, steps) for name, steps in places.items()}
        for name, value in said.items():
            met[name] += value is not None
        url = text(said[config.key])
        key = profile_key(url) if isinstance(url, str) else None
        if key is None:
            unnamed += 1
        elif first.setdefault(key, number) != number:
            repeated.setdefault(key, [first[key]]).append(number)
        elif key in asked:
            fresh.take(key, said, config.fields)
    if rows and unnamed == len(rows):
        raise _trouble(f"none of the {len(rows):,} rows has a profile URL at {'.'.join(places[config.key])!r}")
    for name, path in config.parsed.fields.items():  # what somebody spelled out, and nobody has
        if rows and not met[name]:
            fresh.issues.append(Issue(kind=MISSING_COLUMN, field=name, reason=f"no row of the answer has {path}"))
    fresh.issues.extend(
        Issue(kind=DUPLICATE_KEY, key=key, rows=tuple(numbers)) for key, numbers in repeated.items() if key in asked
    )
    return fresh


def _rows(body: bytes, path: str) -> list[object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        if body.lstrip().startswith(b"<"):
            raise _trouble("its answer is a web page, and no JSON") from None
        where = f" from character {error.pos} on" if isinstance(error, json.JSONDecodeError) else ""
        raise _trouble(f"its answer is no JSON{where}") from None
    rows = _found(document, path.split(".")) if path else document
    if not isinstance(rows, list):
        where = f"at {path!r} in its answer" if path else "in its answer"
        raise _trouble(f"there is no list {where}")
    return rows


def _found(document: object, steps: list[str]) -> object:
    """What lies behind the names; None where one of them is not there."""
    for step in steps:
        if not isinstance(document, dict):
            return None
        document = document.get(step)
    return document


def _trouble(message: str) -> Trouble:
    return Trouble(PARSED_UNAVAILABLE, f"[records.parsed] url: {message}")
