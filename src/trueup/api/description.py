"""What `/openapi.json` says: the routes as the framework describes them, what the door asks for and answers, and an
example of everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from trueup.api import problems
from trueup.api.gate import OPEN

_REF = "#/components/schemas/"


def describe(app: FastAPI, *, keyed: bool) -> dict[str, Any]:
    """The document; `keyed`: a key is asked for."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
    )
    parts = document["components"]
    parts["schemas"]["Problem"] = problems.Problem.model_json_schema(ref_template=_REF + "{model}")
    # The framework's own errors, in whose place are problems.
    for name in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(name, None)
    if keyed:
        parts["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["security"] = [{"bearer": []}, {"key": []}]
    for method, path, operation in operations(document):
        if keyed and (method, path) in OPEN:
            operation["security"] = []
        answers = operation["responses"]
        answers.pop("422", None)
        answers.update({str(status): answer for status, answer in problems.described(413, 422).items()})
        for content in _contents(operation):
            if "example" not in content:
                content["example"] = example_of(content["schema"], parts["schemas"])
        operation["responses"] = dict(sorted(answers.items()))
    return document


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each route."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def example_of(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    """A value of a schema, made of the examples of its parts. Raises `LookupError` for a part that has none."""
    if "$ref" in schema:
        return example_of(known[schema["$ref"].removeprefix(_REF)], known)
    if "examples" in schema:
        return schema["examples"][0]
    if "default" in schema:
        return schema["default"]
    if "properties" in schema:
        return {name: example_of(part, known) for name, part in schema["properties"].items()}
    if schema.get("type") == "array":
        return [example_of(schema["items"], known)]
    raise LookupError(f"there is no example of {schema.get('title', schema)}")


def _contents(operation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for part in (operation.get("requestBody", {}), *operation["responses"].values()):
        yield from part.get("content", {}).values()
