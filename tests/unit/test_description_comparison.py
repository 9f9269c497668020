"""Test the comparison of two descriptions of an API, with invented documents.

Docker's own document is not a part of this tree, so the whole comparison is run by hand: see
tests/conformance/compare.py.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance import compare as comparing
from tests.conformance.claims import claims
from tests.conformance.compare import compare, differences, report
from tests.conformance.known_differences import KNOWN, Known

SWAGGER: dict[str, Any] = {
    "swagger": "2.0",
    "definitions": {
        "Ship": {
            "type": "object",
            "properties": {
                "Name": {"type": "string"},
                "Crew": {"type": "array", "items": {"$ref": "#/definitions/Sailor"}},
            },
        },
        "Sailor": {
            "allOf": [
                {"properties": {"Age": {"type": "number"}}},
                {"properties": {"Boss": {"$ref": "#/definitions/Sailor"}}},
            ]
        },
    },
    "paths": {
        "/ships/{id}": {
            "get": {
                "parameters": [
                    {"name": "id", "in": "path", "type": "string"},
                    {"name": "all", "in": "query", "type": "boolean"},
                    {"name": "X-Flag", "in": "header", "type": "string"},
                ],
                "responses": {"200": {"schema": {"$ref": "#/definitions/Ship"}}, "404": {}},
            },
            "post": {
                "parameters": [
                    {
                        "name": "body",
                        "in": "body",
                        "schema": {
                            "type": "object",
                            "properties": {
                                "Cargo": {
                                    "type": "object",
                                    "additionalProperties": {"type": "string"},
                                }
                            },
                        },
                    }
                ],
                "responses": {"204": {}},
            },
        }
    },
}
OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "components": {
        "schemas": {
            "Ship": {
                "type": "object",
                "properties": {
                    "Name": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "Crew": {
                        "anyOf": [
                            {"type": "array", "items": {"$ref": "#/components/schemas/Sailor"}},
                            {"type": "null"},
                        ]
                    },
                },
            },
            "Sailor": {
                "type": "object",
                "properties": {
                    "Age": {"type": "integer"},
                    "Boss": {"$ref": "#/components/schemas/Sailor"},
                },
            },
        }
    },
    "paths": {
        "/ships/{name}": {
            "get": {
                "parameters": [
                    {"name": "name", "in": "path", "schema": {"type": "string"}},
                    {"name": "all", "in": "query", "schema": {"type": "boolean"}},
                    {"name": "X-Flag", "in": "header", "schema": {"type": "string"}},
                ],
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Ship"}}
                        }
                    },
                    "404": {},
                },
            },
            "post": {
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {
                                    "Cargo": {
                                        "type": "object",
                                        "additionalProperties": {"type": "string"},
                                    }
                                },
                            }
                        }
                    }
                },
                "responses": {"204": {}},
            },
        }
    },
}
THEIRS = claims(SWAGGER)
OURS = claims(OPENAPI)


def without(name: str) -> dict[str, str]:
    """Return our claims without one, and without those inside it."""
    return {key: kind for key, kind in OURS.items() if not key.startswith(name)}


def test_both_languages_make_the_same_claims() -> None:
    assert OURS == THEIRS
    assert OURS == {
        "GET /ships/{}": "operation",
        "GET /ships/{} ?all": "boolean",
        "GET /ships/{} header X-Flag": "string",
        "GET /ships/{} 200": "status",
        "GET /ships/{} 200 Name": "string",
        "GET /ships/{} 200 Crew": "array",
        "GET /ships/{} 200 Crew.[]": "object",
        "GET /ships/{} 200 Crew.[].Age": "integer",
        "GET /ships/{} 200 Crew.[].Boss": "object",
        "GET /ships/{} 404": "status",
        "POST /ships/{}": "operation",
        "POST /ships/{} body Cargo": "object",
        "POST /ships/{} body Cargo.*": "string",
        "POST /ships/{} 204": "status",
    }


@pytest.mark.parametrize(
    ("name", "difference"),
    [
        ("GET /ships/{}", "- GET /ships/{}: operation"),
        ("GET /ships/{} ?all", "- GET /ships/{} ?all: boolean"),
        ("GET /ships/{} 404", "- GET /ships/{} 404: status"),
        ("GET /ships/{} 200 Crew", "- GET /ships/{} 200 Crew: array"),
        ("GET /ships/{} 200 Crew.[].Age", "- GET /ships/{} 200 Crew.[].Age: integer"),
        ("POST /ships/{} body", "- POST /ships/{} body Cargo: object"),
    ],
)
def test_what_only_their_document_claims_is_reported_once(name: str, difference: str) -> None:
    assert list(differences(without(name), THEIRS)) == [difference]


def test_what_only_ours_claims_is_reported() -> None:
    assert list(differences(OURS, dict.fromkeys((), "x"))) == [
        "+ GET /ships/{}: operation",
        "+ POST /ships/{}: operation",
    ]


def test_another_kind_is_reported_unless_one_side_leaves_it_open() -> None:
    name = "GET /ships/{} 200 Name"

    assert list(differences(OURS | {name: "integer"}, THEIRS)) == [
        "~ GET /ships/{} 200 Name: string with Docker, integer here"
    ]
    assert list(differences(OURS | {name: "anything"}, THEIRS)) == []


def test_a_difference_is_a_fault_unless_a_rule_allows_it() -> None:
    ours = without("GET /ships/{} ?all") | {"GET /ships/{} ?sunk": "boolean"}
    rule, idle = Known(r"- GET /ships/\{\} \?all", "all are shown"), Known("- PUT", "none")

    found = compare(ours, THEIRS, (rule, idle))

    assert found.explained == {rule: ("- GET /ships/{} ?all: boolean",)}
    assert found.faults == ("+ GET /ships/{} ?sunk: boolean",)
    assert found.idle == (idle,)
    assert "NOT EXPLAINED + GET /ships/{} ?sunk: boolean" in "\n".join(report(found, verbose=False))


def test_the_program_says_by_its_exit_code_whether_all_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "docker.yaml"
    path.write_text(yaml.dump(SWAGGER))

    assert comparing.main([str(path)]) == 1
    assert "NOT EXPLAINED - GET /ships/{}: operation" in capsys.readouterr().out


def test_each_rule_has_a_reason_and_its_own_pattern() -> None:
    assert all(rule.why and rule.pattern.startswith(("-", "+", "~", "[", r"\+")) for rule in KNOWN)
    assert len({rule.pattern for rule in KNOWN}) == len(KNOWN)
