"""The judge convicts: each way of leaving the document is one that it sees. And it acquits what Docker does."""

import json
from typing import Any

import pytest

from tests.conformance.document import document
from tests.conformance.judge import Given, violations

STARTED_AT = "2026-11-23T19:02:10.123456789Z"


def answer(
    method: str,
    target: str,
    body: Any = None,
    status: int = 200,
    media_type: str = "application/json",
) -> list[str]:
    encoded = b"" if body is None else json.dumps(body).encode()
    return list(violations(Given(method, target, status, media_type, encoded)))


def test_what_the_document_has_is_right() -> None:
    waited = {"StatusCode": 3}

    assert answer("POST", "/v1.44/containers/x/wait?condition=removed", waited) == []


def test_a_wrong_type_is_seen() -> None:
    (found,) = answer("POST", "/containers/x/wait", {"StatusCode": "3"})

    assert "POST /containers/x/wait answered 200: /StatusCode" in found


def test_a_missing_required_field_is_seen() -> None:
    (found,) = answer("POST", "/containers/create", {"Warnings": []}, 201)

    assert '"Id" is a required property' in found


def test_an_undocumented_field_is_seen_deep_inside() -> None:
    (found,) = answer(
        "GET",
        "/containers/json",
        [{"Mounts": [{"Type": "bind", "Colour": 2}]}],
    )

    assert "/0/Mounts/0: " in found
    assert "Colour" in found


def test_an_undocumented_field_of_a_composed_object_is_seen() -> None:
    (found,) = answer(
        "GET", "/containers/x/json", {"HostConfig": {"Memory": 1, "PortBindings": {}, "Colour": 1}}
    )

    assert "Colour" in found


def test_older_versions_may_have_fields_that_are_gone_but_no_other_types() -> None:
    assert len(answer("GET", "/v1.50/info", {"Colour": 1})) == 1
    assert answer("GET", "/v1.24/info", {"Colour": 1}) == []
    assert len(answer("GET", "/v1.24/info", {"NCPU": "two"})) == 1


def test_an_undocumented_status_is_seen() -> None:
    (found,) = answer("GET", "/version", {"message": "I'm a teapot"}, 418)

    assert "answered 418: the document knows [200, 500] for GET /version" in found


def test_an_undocumented_path_must_not_succeed() -> None:
    assert answer("GET", "/containers/x/colour", {}) == [
        "GET /containers/x/colour answered 200: the document knows no such path"
    ]
    assert answer("GET", "/containers/x/colour", {"message": "page not found"}, 404) == []
    assert answer("GET", "/shipslog/history", {}) == []


def test_an_error_without_a_message_is_seen() -> None:
    (found,) = answer("GET", "/containers/x/json", {}, 404)

    assert '"message" is a required property' in found


@pytest.mark.parametrize("stamp", ["yesterday", "2026-11-23 19:02:10", "2026-11-23T19:02:10"])
def test_a_time_of_another_format_is_seen(stamp: str) -> None:
    (found,) = answer(
        "GET",
        "/volumes/x",
        {
            "Name": "x",
            "Driver": "local",
            "Mountpoint": "/",
            "Labels": {},
            "Scope": "local",
            "Options": {},
            "CreatedAt": stamp,
        },
    )

    assert "/CreatedAt" in found


def test_a_number_out_of_its_range_is_seen() -> None:
    (found,) = answer(
        "GET", "/containers/json", [{"Ports": [{"Type": "tcp", "PrivatePort": 70000}]}]
    )

    assert "/0/Ports/0/PrivatePort" in found


def test_a_body_where_there_is_none_is_seen() -> None:
    assert answer("POST", "/containers/x/start", {}, 204) == [
        "POST /containers/x/start answered 204: a body, where there is none"
    ]


def test_json_under_another_name_is_seen() -> None:
    (found,) = answer("GET", "/version", {}, media_type="text/plain")

    assert "text/plain instead of application/json" in found


def test_torn_json_is_seen() -> None:
    (found,) = violations(Given("GET", "/version", 200, "application/json", b'{"Version": '))

    assert "no JSON" in found


def test_each_line_of_a_stream_is_looked_at() -> None:
    lines = b'{"Type": "container", "time": 1}\n{"Type": "container", "time": "now"}\n'

    (found,) = violations(Given("GET", "/events", 200, "application/json", lines))

    assert "/time" in found


def test_null_stands_for_empty_lists_and_maps_but_not_for_numbers_and_strings() -> None:
    assert answer("GET", "/containers/json", None) == []
    assert answer("GET", "/containers/json", [{"Ports": None, "Labels": None}]) == []
    assert len(answer("GET", "/containers/json", [{"Id": None, "Created": None}])) == 2


def test_a_name_may_have_slashes() -> None:
    operation = document().find("GET", "/v1.51/images/registry.example%2fa/b:1/json?manifests=1")

    assert str(operation) == "GET /images/{name}/json"


def test_the_whole_document_can_be_translated() -> None:
    for operation in document().operations:
        for schema in operation.responses.values():
            document().translator.standalone(schema)
