"""What the read model remembers of a field, as it is stored (no I/O)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from trueup.records.config import Field
from trueup.records.merge import Heard, Kept, Value


def kept_of(rows: Iterable[Any], fields: Mapping[str, Field]) -> list[tuple[int, str, Kept]]:
    """The id of the account, the field and what is kept of it, for rows of (account_id, field, value, winner,
    candidates, heard) whose field is known. Raises `ValueError` for what was not written by `as_json`."""
    found = []
    read = [*rows]
    # One document for all of them: reading each alone takes four times as long.
    documents = json.loads(f"[{','.join([f'{row[4]},{row[5]}' for row in read])}]")
    kinds = {name: str if field.text else int for name, field in fields.items()}
    for (number, name, value, winner, *_), candidates, heard in zip(read, documents[::2], documents[1::2], strict=True):
        if kind := kinds.get(name):
            try:
                told = {who: Heard._make(said) for who, said in heard.items()}
                said = [*candidates.values(), *[one.value for one in told.values()]]
            except (AttributeError, TypeError) as error:
                raise ValueError(f"{candidates} and {heard}") from error
            # Compared by type: true is no number.
            if (value is not None and type(value) is not kind) or not {*map(type, said)} <= {kind}:
                raise ValueError(f"{value!r}, {candidates} and {heard} for {name}")
            found.append((number, name, Kept(value, winner, candidates, told)))
    return found


def value_of(stored: object, field: Field) -> Value:
    """A value of a field. Raises `ValueError` for what is none."""
    if field.text and isinstance(stored, str):
        return stored
    if not field.text and isinstance(stored, int) and not isinstance(stored, bool):
        return stored
    raise ValueError(f"{stored!r} for {field.name}")


def as_json(said: Mapping[str, Value | Heard]) -> str:
    """As JSON, put together here: for so small a document `json.dumps` takes five times as long."""
    return "{" + ", ".join([f'"{who}": {_one(value)}' for who, value in said.items()]) + "}"


def _one(value: Value | Heard) -> str:
    if isinstance(value, int):
        return str(value)
    return json.dumps(value) if isinstance(value, str) else f'[{_one(value.value)}, "{value.since}"]'
