"""What the service says of itself: `/openapi.json`, and the page made from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.api.server import Server
from trueup.api import reference
from trueup.api.description import operations

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "api.md"


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    return server.get("/openapi.json").json


def test_the_reference_is_the_one_that_the_routes_give():
    page = PAGE.read_text("utf-8")
    assert page == reference.render(), "make it again: python -m trueup.api.reference > docs/reference/api.md"


def test_every_route_is_in_the_reference(document: dict[str, Any]):
    page = PAGE.read_text("utf-8")
    assert [f"### {method} {path}\n" in page for method, path, _ in operations(document)] == [True] * 26


def test_every_route_has_a_summary_and_a_tag_and_the_problems_of_every_route(document: dict[str, Any]):
    tags = {tag["name"] for tag in document["tags"]}
    assert tags == {"admin", "storage", "records", "downloads", "sync", "ingest", "runs"}
    for _, path, operation in operations(document):
        assert operation["summary"], path
        assert operation["description"], path
        assert set(operation["tags"]) <= tags, path
        assert {"401", "403", "413", "422", "429"} <= operation["responses"].keys(), path
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (path, parameter["name"])


def test_whatever_is_sent_and_answered_has_a_type_and_an_example_of_it(document: dict[str, Any]):
    for _, path, operation in operations(document):
        for status, part in {"body": operation.get("requestBody", {}), **operation["responses"]}.items():
            contents = part.get("content", {})
            assert contents or status in {"body", "204"}, (path, status)
            for content in contents.values():
                if "schema" in content:  # a stream has one for its events
                    schema = {**content["schema"], "components": document["components"]}
                    Draft202012Validator(schema).validate(content["example"])
                else:
                    assert content["itemSchema"]["properties"].keys() == {"id", "event", "data"}
                    assert content["example"].startswith("event: ")
    assert "HTTPValidationError" not in json.dumps(document)


def test_a_key_is_asked_for_in_the_description_where_it_is_at_the_door(document: dict[str, Any], locked: Server):
    assert "security" not in document
    closed = locked.get("/openapi.json").json
    assert closed["security"] == [{"bearer": []}, {"key": []}]
    opened = {(method, path) for method, path, operation in operations(closed) if operation.get("security") == []}
    assert opened == {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/api/storage/stats")}
