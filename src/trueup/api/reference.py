"""The page docs/reference/api.md, made from the description of the routes: `python -m trueup.api.reference`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trueup.api.app import create_app
from trueup.api.description import operations
from trueup.api.gate import OPEN
from trueup.api.problems import MEANINGS, document
from trueup.api.service import Service
from trueup.config import Settings
from trueup.jobs.config import server_config

_INTRODUCTION = """\
# HTTP API

<!-- Made by `python -m trueup.api.reference > docs/reference/api.md`; a test compares. Do not edit. -->

What `trueup serve` answers; [the service](../guides/service.md) says how to run it, and what it does. `/openapi.json`
is the same for programs, `/docs` to try it out.

With a key every route but {open} needs `Authorization: Bearer KEY` or `X-API-Key: KEY`.
Times are RFC 3339 in UTC. Answers are JSON where nothing else is said, and may get more fields; a 1 GB in them is 2^30
bytes. A request may name itself by `X-Request-ID`; the answer has that id, or a new one.

## Errors

Every error is a problem of [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457), `application/problem+json`:

```json
{problem}
```

| status | meaning |
|---|---|
{meanings}

Any route may answer {anywhere}; the others are listed with those that do.
"""
_ANYWHERE = (401, 403, 413, 422, 429, 500)


def render() -> str:
    """The whole page, in Markdown."""
    # Nothing is opened: only the description is asked for.
    settings = Settings(environ={"TRUEUP_API_KEY": "key"}, home=Path(), path=None, sections={})
    described = create_app(Service(settings, server_config(settings))).openapi()
    known = described["components"]["schemas"]
    example = document(409, "sync_storage_stats is under way already. Wait for it, or cancel it", "5f0c2a9e41d84d0f")
    lines = [
        _INTRODUCTION.format(
            open=_listed([f"`{method} {path}`" for method, path in sorted(OPEN, key=lambda one: one[1])], "and"),
            problem=_json(example | {"run": "20261121T103400Z-3f9c1a"}),
            meanings="\n".join(f"| {status} | {meaning} |" for status, meaning in MEANINGS.items()),
            anywhere=_listed([str(status) for status in _ANYWHERE], "or"),
        )
    ]
    for tag in described["tags"]:
        lines += [f"## {tag['name']}", ""]
        for method, path, operation in operations(described):
            if operation["tags"][0] == tag["name"]:
                lines += _route(method, path, operation, known)
    return "\n".join(lines).rstrip() + "\n"


def _route(method: str, path: str, operation: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"### {method} {path}", "", f"{operation['summary']}. {operation['description']}", "")
    if parameters := operation.get("parameters"):
        rows = [(one["name"], one["in"], one["schema"], one.get("description", "")) for one in parameters]
        yield from ("| parameter | in | type | |", "|---|---|---|---|")
        for name, place, schema, text in rows:
            default = f"default {_word(schema['default'])}" if schema.get("default") not in {None, ""} else ""
            yield f"| `{name}` | {place} | {_type(schema)} | {'; '.join(filter(None, (_cell(text), default)))} |"
        yield ""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        yield from ("**Body**", "", *_fields(content["schema"], known))
        yield from ("```json", _json(content["example"]), "```", "")
    errors = []
    for status, answer in operation["responses"].items():
        if int(status) in _ANYWHERE:
            continue
        if "application/problem+json" in answer.get("content", {}):
            errors.append(status)
            continue
        yield from _answer(status, answer, known)
    if errors:
        yield from (f"**Errors**: {', '.join(errors)}", "")


def _answer(status: str, answer: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[str]:
    said = answer["description"] if answer["description"] != "Successful Response" else ""
    title = f"**{status}**" + (f": {said}" if said else "")
    if "content" not in answer:
        yield from (f"{title}, without a body", "")
    for kind, content in answer.get("content", {}).items():
        plain = kind == "application/json"
        yield from (title if plain else f"{title} `{kind}`", "")
        if plain:
            yield from _fields(content["schema"], known)
        body = _json(content["example"]) if plain else content["example"].rstrip()
        yield from ("```json" if plain else "```text", body, "```", "")


def _fields(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[str]:
    """What its fields mean, where that is more than their names say, and those that have a few words for values."""
    parts = known[schema["$ref"].rpartition("/")[2]]["properties"]
    rows = [(name, part) for name, part in parts.items() if part.keys() & {"description", "enum"}]
    if rows:
        yield from ("| field | type | |", "|---|---|---|")
        for name, part in rows:
            yield f"| `{name}` | {_type(part)} | {_cell(part.get('description', ''))} |"
        yield ""


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    limits = [
        f"{word} {schema[name]:g}"
        for name, word in (("minimum", "from"), ("exclusiveMinimum", "over"), ("maximum", "to"))
        if name in schema
    ]
    return " ".join((str(schema["type"]), *limits))


def _word(value: object) -> str:
    return f"`{json.dumps(value)}`"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").rstrip(".")


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _listed(words: list[str], last: str) -> str:
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


if __name__ == "__main__":
    sys.stdout.write(render())
