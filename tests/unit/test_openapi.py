"""Test the description of the API: it has every route, each part of it is valid, and it is
served.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from engine.api.http.replies import Answer
from engine.api.http.router import Route
from tests.conformance.document import document
from tests.unit.test_api_router import ask_route

METHODS = ("get", "head", "post", "put", "delete")
ROUTES = document().routes
each_route = pytest.mark.parametrize(
    "route", ROUTES, ids=[f"{each.method} {each.template}" for each in ROUTES]
)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document().description["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            yield from references(each)


@each_route
def test_each_route_has_a_summary_and_answers(route: Route) -> None:
    operation = route.operation

    assert re.fullmatch(r"[A-Z][^\n]{3,98}\.", operation.summary)
    assert operation.answers or re.search(
        r"not supported|[Tt]here is none|in no swarm|Refused", operation.summary
    )
    assert all(100 < status < 400 for status in operation.answers)
    assert all(status >= 400 for status in operation.refusals)
    names = [each.name for each in operation.query]
    assert len(names) == len(set(names))


def test_every_route_is_described_once() -> None:
    described = [(method.upper(), path) for method, path, _ in operations()]

    assert sorted(described) == sorted((route.method, route.template) for route in ROUTES)


def test_operations_are_what_openapi_3_1_asks_for() -> None:
    identities = []
    for method, path, operation in operations():
        identities.append(operation["operationId"])
        assert method in METHODS
        assert operation["responses"]
        assert all(re.fullmatch(r"[1-5]\d\d", status) for status in operation["responses"])
        assert all(each["description"] for each in operation["responses"].values())
        parameters = operation.get("parameters", [])
        in_path = [each["name"] for each in parameters if each["in"] == "path"]
        assert in_path == re.findall(r"\{(\w+)\}", path)
        assert all(each["required"] for each in parameters if each["in"] == "path")
    assert len(identities) == len(set(identities))


def test_every_schema_is_one_and_every_reference_leads_somewhere() -> None:
    schemas = document().description["components"]["schemas"]

    for name, schema in schemas.items():
        assert re.fullmatch(r"[A-Za-z]+", name), name
        assert jsonschema_rs.meta.is_valid(schema), name
    for reference in references(document().description):
        _, _, kind, name = reference.split("/")
        assert name in document().description["components"][kind]


def test_no_two_shapes_have_one_name() -> None:
    """msgspec gives the second of two a name with a dot."""
    assert not [name for name in document().description["components"]["schemas"] if "." in name]


def test_the_description_is_served_and_made_once() -> None:
    (route,) = (each for each in ROUTES if each.template == "/openapi.json")

    first, second = ask_route(route), ask_route(route)

    assert isinstance(first, Answer)
    assert json.loads(first.body) == document().description
    assert second is first
