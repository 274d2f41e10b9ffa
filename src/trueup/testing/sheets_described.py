"""Google's own descriptions of its interfaces, as something that requests and answers are held to.

They come with the package google-api-python-client (`googleapiclient/discovery_cache`), and are written in a dialect of
JSON Schema: https://developers.google.com/discovery/v1/reference/apis
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final, cast
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

_RANGES: Final = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1)}

Mask = dict[str, "Mask"]
"""Field and what of it; empty for all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A method of an interface, and what its path names."""

    id: str
    """Like `sheets.spreadsheets.values.batchGet`."""
    named: Mapping[str, str]
    method: Mapping[str, Any]
    description: Description

    @property
    def scopes(self) -> frozenset[str]:
        """A token needs one of them."""
        return frozenset(self.method.get("scopes", ()))

    def wrong_query(self, query: Iterable[tuple[str, str]]) -> Iterator[str]:
        """What is not as described."""
        known = {**self.description.document["parameters"], **self.method["parameters"]}
        seen = set()
        for name, value in query:
            parameter = known.get(name, {})
            allowed = ["true", "false"] if parameter.get("type") == "boolean" else parameter.get("enum", [value])
            if parameter.get("location") != "query":
                yield f"Unknown name {name!r}: Cannot bind query parameter."
            elif name in seen and not parameter.get("repeated"):
                yield f"{name!r} is given twice."
            elif value not in allowed:
                yield f"Invalid value at {name!r}: {value!r}"
            seen.add(name)

    def wrong_body(self, body: object) -> str:
        """What is not as described; empty where nothing is."""
        wanted = self.method.get("request")
        if wanted is None:
            return "a body where none belongs" if body is not None else ""
        return self.description.wrong(wanted["$ref"], body)

    def wrong_answer(self, answer: object) -> str:
        """The same for an answer."""
        return self.description.wrong(self.method["response"]["$ref"], answer)

    def mask(self, fields: str) -> Mask:
        """What a selection of fields keeps of the answer. Raises `ValueError` for a field that there is not."""
        mask = _mask(fields)
        self.description.check_mask(mask, self.method["response"])
        return mask


class Description:
    """One interface, such as Sheets v4."""

    def __init__(self, file: str) -> None:
        path = resources.files("googleapiclient") / "discovery_cache" / "documents" / file
        self.document: dict[str, Any] = json.loads(path.read_text("utf-8"))
        self._schemas = {name: _schema(schema) for name, schema in self.document["schemas"].items()}
        self._validators: dict[str, Draft202012Validator] = {}
        base = self.document["servicePath"]
        self._methods = [(_pattern(base + method["path"]), method) for method in _methods(self.document)]

    def call(self, verb: str, path: str) -> Call | None:
        """The method that answers at a path (without its leading `/`)."""
        for pattern, method in self._methods:
            if verb == method["httpMethod"] and (found := pattern.fullmatch(path)):
                named = {name: unquote(value) for name, value in found.groupdict().items()}
                return Call(id=method["id"], named=named, method=method, description=self)
        return None

    def wrong(self, schema: str, document: object) -> str:
        """Where a document is not what a schema says; empty where it is."""
        if schema not in self._validators:
            whole = {"$ref": f"#/$defs/{schema}", "$defs": self._schemas}
            self._validators[schema] = Draft202012Validator(whole)
        error = best_match(self._validators[schema].iter_errors(document))
        return f"{schema}{error.json_path[1:]}: {error.message}" if error else ""

    def check_mask(self, mask: Mask, schema: Mapping[str, Any]) -> None:
        """As in `Call.mask`."""
        while "items" in schema or "$ref" in schema:
            schema = schema["items"] if "items" in schema else self.document["schemas"][schema["$ref"]]
        for name, inner in mask.items():
            if name != "*" and name not in schema.get("properties", {}):
                raise ValueError(f"Invalid field selection {name}")
            if name != "*":
                self.check_mask(inner, schema["properties"][name])


@cache
def sheets() -> Description:
    """Sheets v4."""
    return Description("sheets.v4.json")


@cache
def drive() -> Description:
    """Drive v3."""
    return Description("drive.v3.json")


def masked(answer: object, mask: Mask) -> object:
    """What a mask keeps."""
    if not mask or "*" in mask:
        return answer
    if isinstance(answer, list):
        return [masked(one, mask) for one in answer]
    if not isinstance(answer, dict):
        return answer
    return {name: masked(value, mask[name]) for name, value in answer.items() if name in mask}


def _mask(fields: str) -> Mask:
    """`a,b(c,d.e)` as `{a: {}, b: {c: {}, d: {e: {}}}}`."""
    top: Mask = {}
    outer, here = [top], top
    for part in re.findall(r"[\w*]+|.", fields):
        if part == "(":
            outer.append(here)
        elif part == ")" and len(outer) > 1:
            outer.pop()
        elif part == ",":
            here = outer[-1]
        elif re.fullmatch(r"[\w*]+", part):
            here = here.setdefault(part, {})
        elif part not in {".", "/"}:
            raise ValueError(f"Invalid field selection {fields}")
    if len(outer) != 1:
        raise ValueError(f"Invalid field selection {fields}")
    return top


def _methods(resource: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from resource.get("methods", {}).values()
    for inner in resource.get("resources", {}).values():
        yield from _methods(inner)


def _pattern(path: str) -> re.Pattern[str]:
    # A range may hold a colon, an id does not.
    named = re.sub(r"\{(\w+)\}", lambda found: f"(?P<{found[1]}>[^/{'' if found[1] == 'range' else ':'}]+)", path)
    return re.compile(named)


def _schema(described: Mapping[str, Any]) -> dict[str, Any]:
    """In today's JSON Schema; what is not described is not allowed."""
    if "$ref" in described:
        return {"$ref": f"#/$defs/{described['$ref']}"}
    schema: dict[str, Any] = {}
    if described.get("type", "any") != "any":
        schema["type"] = described["type"]
    if "enum" in described:
        schema["enum"] = described["enum"]
    if described.get("format") in _RANGES:
        schema["minimum"], schema["maximum"] = _RANGES[described["format"]]
    if "items" in described and (items := _schema(described["items"])):
        schema["items"] = items
    if described.get("type") == "object":
        schema["properties"] = {name: _schema(inner) for name, inner in described.get("properties", {}).items()}
        more = described.get("additionalProperties")
        schema["additionalProperties"] = _schema(cast("Mapping[str, Any]", more)) if more else False
    return schema
