"""What a message says to people. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from string import Template
from typing import Any, Final, NamedTuple

_GB: Final = 1 << 30
_SUBJECT: Final = Template("$provider is full: $used of $limit used")
_PLAIN: Final = Template(
    """The storage provider $provider is full.

Used:   $used ($percent of the limit)
Limit:  $limit
Files:  $files

New uploads go to the other providers of the pool, or are refused. Raise the quota,
add a provider, or remove something: trueup pool stats
"""
)
_HTML: Final = Template(
    """<!doctype html>
<html lang="en"><body style="font-family: sans-serif; line-height: 1.5">
<h1 style="font-size: 1.2em">The storage provider $provider is full</h1>
<table>
<tr><td>Used</td><td><b>$used</b> ($percent of the limit)</td></tr>
<tr><td>Limit</td><td>$limit</td></tr>
<tr><td>Files</td><td>$files</td></tr>
</table>
<p>New uploads go to the other providers of the pool, or are refused. Raise the quota, add a provider, or remove
something: <code>trueup pool stats</code></p>
</body></html>
"""
)


class Text(NamedTuple):
    """One message for people."""

    subject: str
    plain: str
    html: str


def of(kind: str, payload: Mapping[str, Any]) -> Text:
    """The words of a message. Raises `ValueError` for a kind nobody has words for."""
    if kind != "pool.full":
        raise ValueError(f"there are no words for {kind}")
    used, limit = int(payload["used_bytes"]), int(payload["limit_bytes"])
    facts = {
        "provider": " ".join(str(payload["provider"]).split()),
        "used": f"{used / _GB:.2f} GB",
        "limit": f"{limit / _GB:.2f} GB",
        "percent": f"{100 * used / limit:.1f} %" if limit else "100 %",
        "files": f"{int(payload['file_count']):,}" if payload.get("file_count") is not None else "not counted",
    }
    escaped = {name: escape(value) for name, value in facts.items()}
    return Text(_SUBJECT.substitute(facts), _PLAIN.substitute(facts), _HTML.substitute(escaped))
