"""Test the judge: it detects each kind of deviation from the description."""

import json
from typing import Any

import pytest

from tests.conformance.document import document
from tests.conformance.validation import Given, violations

IN_LIST: dict[str, Any] = {
    "Id": "x", "Names": ["/x"], "Image": "busybox", "ImageID": "y", "Command": "sh", "Created": 1, "Ports": [], "Labels": {},
    "State": "created", "Status": "Created", "HostConfig": {"NetworkMode": "none"}, "NetworkSettings": {"Networks": {}}, "Mounts": [],
}  # fmt: skip
EVENT: dict[str, Any] = {
    "Type": "container",
    "Action": "start",
    "Actor": {"ID": "x", "Attributes": {}},
    "scope": "local",
    "time": 1,
    "timeNano": 1,
}
MOUNTED: dict[str, Any] = {
    "Type": "bind",
    "Source": "/a",
    "Destination": "/b",
    "Mode": "",
    "RW": True,
    "Propagation": "",
}


def answer(
    method: str,
    target: str,
    body: Any = None,
    status: int = 200,
    media_type: str = "application/json",
) -> list[str]:
    encoded = b"" if body is None else json.dumps(body).encode()
    return list(violations(Given(method, target, status, media_type, encoded)))


def test_what_is_described_is_right() -> None:
    waited = {"StatusCode": 3}

    assert answer("POST", "/v1.44/containers/x/wait?condition=removed", waited) == []
    assert answer("GET", "/containers/json", [IN_LIST | {"Mounts": [MOUNTED]}]) == []


def test_a_wrong_type_is_seen() -> None:
    (found,) = answer("POST", "/containers/x/wait", {"StatusCode": "3"})

    assert "POST /containers/x/wait answered 200: /StatusCode" in found


def test_null_where_there_is_none_is_seen() -> None:
    (found,) = answer("GET", "/containers/json", [IN_LIST | {"Created": None}])

    assert "/0/Created" in found


def test_a_missing_field_is_seen() -> None:
    (found,) = answer("POST", "/containers/create", {"Warnings": []}, 201)

    assert '"Id" is a required property' in found


def test_a_field_that_is_not_described_is_seen_deep_inside() -> None:
    mounted = MOUNTED | {"Colour": 2}

    (found,) = answer("GET", "/containers/json", [IN_LIST | {"Mounts": [mounted]}])

    assert "/0/Mounts/0: " in found
    assert "Colour" in found


def test_a_status_that_is_not_described_is_seen() -> None:
    (found,) = answer("GET", "/version", {"message": "I'm a teapot"}, 418)

    assert "answered 418: GET /version is described with [200, 400, 500, 501, 503]" in found


def test_a_path_that_is_not_described_must_not_succeed() -> None:
    assert answer("GET", "/containers/x/colour", {}) == [
        "GET /containers/x/colour answered 200: no such path is described"
    ]
    assert answer("GET", "/containers/x/colour", {"message": "page not found"}, 404) == []
    assert answer("OPTIONS", "/containers/x/colour") == []


def test_paths_of_our_own_are_validated_too() -> None:
    (found,) = answer("GET", "/shipslog/verify", {"ok": True, "events": 1, "first_bad_seq": None})

    assert '"problems" is a required property' in found


def test_a_parameter_that_is_read_and_not_described_is_seen() -> None:
    looked_up = ("all", "colour", "limit")

    given = Given("GET", "/containers/json", 200, "application/json", b"[]", looked_up)

    assert list(violations(given)) == [
        "GET /containers/json reads ?colour of the query, which is not described"
    ]


def test_an_error_without_a_message_is_seen() -> None:
    (found,) = answer("GET", "/containers/x/json", {}, 404)

    assert '"message" is a required property' in found


def test_an_error_is_plain_text_for_clients_from_before_json() -> None:
    given = Given("GET", "/v1.12/version", 400, "text/plain", b"client version 1.12 is too old\n")

    assert list(violations(given)) == []


@pytest.mark.parametrize("stamp", ["yesterday", "2026-11-23 19:02:10", "2026-11-23T19:02:10"])
def test_a_time_of_another_format_is_seen(stamp: str) -> None:
    line = {"seq": 1, "at": stamp}

    found = answer("GET", "/shipslog/history", line, media_type="application/x-ndjson")

    assert any("/at: " in each for each in found)


def test_a_number_out_of_its_range_is_seen() -> None:
    port = {"Type": "tcp", "PrivatePort": 70000}

    (found,) = answer("GET", "/containers/json", [IN_LIST | {"Ports": [port]}])

    assert "/0/Ports/0/PrivatePort" in found


def test_an_unexpected_body_is_reported() -> None:
    assert answer("POST", "/containers/x/start", {}, 204) == [
        "POST /containers/x/start answered 204: a body, where there is none"
    ]


def test_json_under_another_name_is_seen() -> None:
    (found,) = answer("GET", "/version", {}, media_type="text/plain")

    assert "text/plain instead of application/json" in found


def test_of_bytes_there_may_be_none_but_of_json_not() -> None:
    assert answer("POST", "/exec/x/start", media_type="") == []
    assert len(answer("GET", "/version", media_type="")) == 1
    assert len(answer("POST", "/exec/x/start", {}, media_type="")) == 1


def test_torn_json_is_seen() -> None:
    (found,) = violations(Given("GET", "/version", 200, "application/json", b'{"Version": '))

    assert "no JSON" in found


def test_each_line_of_a_stream_is_looked_at() -> None:
    lines = b"\n".join(json.dumps(each).encode() for each in (EVENT, EVENT | {"time": "now"}))

    (found,) = violations(Given("GET", "/events", 200, "application/json", lines))

    assert "/time" in found


def test_a_name_may_have_slashes() -> None:
    operation = document().find("GET", "/v1.51/images/registry.example%2fa/b:1/json?manifests=1")

    assert str(operation) == "GET /images/{name}/json"
