"""Values as people read them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STATES: Final = {
    "PENDING": "waiting",
    "STARTED": "running",
    "RETRY": "waiting to try again",
    "SUCCESS": "done",
    "FAILURE": "failed",
    "REVOKED": "cancelled",
}


def size(amount: float) -> str:
    """Bytes: `0 B`, `1.2 KiB`, `19.8 MiB`."""
    unit = 0
    while round(amount) >= 1024 and unit < len(_UNITS) - 1:
        amount /= 1024
        unit += 1
    return f"{amount:.0f} {_UNITS[unit]}" if unit == 0 or amount >= 999.95 else f"{amount:.1f} {_UNITS[unit]}"


def files(number: int) -> str:
    """So many of them: `1 file`, `1,200 files`."""
    return f"{number:,} file{'' if number == 1 else 's'}"


def surplus(number: int, amount: int | None) -> str:
    """By how much one holds more than another: `2 files more and 1.0 KiB less`."""
    told = [f"{files(abs(number))} {'more' if number > 0 else 'fewer'}"] if number else []
    if amount:
        told.append(f"{size(abs(amount))} {'more' if amount > 0 else 'less'}")
    return " and ".join(told)


def moment(at: datetime) -> str:
    """In UTC: `22 Nov 2026, 07:16 UTC`."""
    return f"{at.astimezone(UTC):%d %b %Y, %H:%M} UTC".lstrip("0")


def seconds(began: datetime, ended: datetime) -> str:
    """How long it took: `0.4 s`, `42 s`, `3 min 5 s`."""
    took = (ended - began).total_seconds()
    return f"{took:.1f} s" if took < 10 else f"{took:.0f} s" if took < 60 else f"{took // 60:.0f} min {took % 60:.0f} s"


def state(name: str) -> str:
    """A run's state in a word."""
    return _STATES[name]


def value(given: object) -> str:
    """A cell: numbers with commas, nothing as a dash."""
    if given is None or given == "":
        return "–"
    return f"{given:,}" if isinstance(given, int) and not isinstance(given, bool) else str(given)


def without_query(text: str) -> str:
    """A URL as it is shown: its query may hold a secret. What is no URL stays as it is."""
    plain = re.sub(r"[?#].*", "", text, flags=re.DOTALL) if "://" in text else text
    return plain if plain == text else f"{plain}?…"


def job(name: str, arguments: Mapping[str, Any]) -> str:
    """A job with what it is about: `sync_files site (dry run)`."""
    about = " ".join(without_query(str(given)) for given in arguments.values() if not isinstance(given, bool))
    flags = "".join(f" ({flag.replace('_', ' ')})" for flag, given in arguments.items() if given is True)
    return f"{name} {about}".rstrip() + flags


def said(event: Mapping[str, Any]) -> str:
    """One line of a run's log, as `run.js` writes it too; empty for what only moves the bar."""
    match event["event"]:
        case "run_started":
            return f"{event['job']}: {event['left']} and {event['right']}"
        case "planned":
            return f"planned: {event['actions']} to do"
        case "item_finished":
            action = event["action"].replace("_", " ")
            return f"{event['outcome']}: {action} {event['key']}" + (f" ({event['error']})" if event["error"] else "")
        case "warned":
            return f"warning: {event['message']}"
        case "run_finished":
            return f"finished: {event['status']}" + (f" ({event['reason']})" if event["reason"] else "")
        case _:
            return ""


def pretty(document: object) -> str:
    """JSON to look at."""
    return json.dumps(document, indent=2, ensure_ascii=False, default=str)
