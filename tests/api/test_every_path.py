"""Test that every path and method answers as it is described; what this engine lacks says so, and
nothing answers 500.
"""

import json
import re
from pathlib import Path

import pytest

from engine.api.http.requests import ApiVersion
from engine.api.http.router import VERSION_MAX, VERSION_MIN, version_text
from tests.api.minimal_server import Response, get, in_trio, post
from tests.api.simulated_engine import SimulatedEngine, simulated_engine
from tests.conformance.document import Operation, document

_ENDLESS = {"/events": "?since=0&until=1"}
_NO_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to'
    " swarm and try again."
)


async def ask(
    engine: SimulatedEngine, method: str, target: str, body: str | None = None
) -> Response:
    headers = () if body is None else ("Content-Type: application/json",)
    request = post(target, (body or "").encode(), *headers).replace(b"POST", method.encode(), 1)
    return await engine.server.ask(request, method)


async def ask_for(engine: SimulatedEngine, operation: Operation, version: ApiVersion) -> Response:
    path = re.sub(r"\{\w+\}", "nosuch", operation.template)
    query = _ENDLESS.get(operation.template, "")
    body = None if operation.method in ("GET", "HEAD", "DELETE") else "{}"
    return await ask(engine, operation.method, f"/v{version_text(version)}{path}{query}", body)


@pytest.mark.parametrize("version", [VERSION_MIN, (1, 41), VERSION_MAX])
@in_trio
async def test_every_path_that_is_described_is_answered(
    version: ApiVersion, tmp_path: Path
) -> None:
    operations = document().operations
    assert len(operations) > 100

    async with simulated_engine(tmp_path) as engine:
        for operation in operations:
            response = await ask_for(engine, operation, version)

            assert b"page not found" not in response.body, operation
            assert response.status < 500 or response.status in (501, 503), (operation, response)
            if response.status >= 400 and operation.method != "HEAD":
                assert json.loads(response.body)["message"], operation


ANSWERS: list[tuple[str, str, str | None, int, str]] = [
    ("GET", "/swarm", None, 503, _NO_MANAGER),
    ("GET", "/swarm/unlockkey", None, 503, _NO_MANAGER),
    ("POST", "/swarm/unlock", '{"UnlockKey":"x"}', 503, _NO_MANAGER),
    ("POST", "/swarm/init", "{}", 501, "swarm mode is not supported"),
    ("POST", "/swarm/join", "{}", 501, "swarm mode is not supported"),
    ("POST", "/swarm/leave?force=1", None, 503, "This node is not part of a swarm"),
    ("POST", "/swarm/update?version=1", "{}", 503, _NO_MANAGER),
    (
        "POST",
        "/swarm/update",
        "{}",
        400,
        "invalid swarm version '': strconv.ParseUint: parsing \"\": invalid syntax",
    ),
    (
        "POST",
        "/services/x/update?version=99999999999999999999",
        "{}",
        400,
        "invalid service version '99999999999999999999': strconv.ParseUint: parsing \"99999999999999999999\": value out of range",
    ),
    ("GET", "/services/x/logs", None, 400, "Bad parameters: you must choose at least one stream"),
    ("GET", "/services/x/logs?stdout=1", None, 503, _NO_MANAGER),
    ("GET", "/tasks/x/logs?stderr=1", None, 503, _NO_MANAGER),
    ("GET", "/nodes?filters=%7B%22role%22:%5B%22manager%22%5D%7D", None, 503, _NO_MANAGER),
    ("GET", "/nodes?filters=bad", None, 400, "invalid filter: JSON is malformed: invalid character (byte 0)"),
    ("POST", "/secrets/create", "{}", 503, _NO_MANAGER),
    ("DELETE", "/configs/x", None, 503, _NO_MANAGER),
    ("GET", "/plugins/a/b:tag/json", None, 404, 'plugin "a/b:tag" not found'),
    ("DELETE", "/plugins/x", None, 404, 'plugin "x" not found'),
    ("POST", "/plugins/x/enable?timeout=0", None, 404, 'plugin "x" not found'),
    ("POST", "/plugins/x/enable", None, 400, 'strconv.Atoi: parsing "": invalid syntax'),
    ("POST", "/plugins/x/set", "[]", 404, 'plugin "x" not found'),
    ("GET", "/plugins/privileges?remote=BAD", None, 400, "invalid reference format: repository name (library/BAD) must be lowercase"),
    ("POST", "/plugins/pull?remote=x", "[]", 501, "plugins are not supported"),
    ("GET", "/plugins?filters=%7B%22foo%22:%5B%22x%22%5D%7D", None, 400, "invalid filter 'foo'"),
    ("GET", "/plugins?filters=%7B%22enabled%22:%5B%22x%22%5D%7D", None, 400, "invalid filter 'enabled=[x]'"),
    ("GET", "/volumes/nosuch", None, 404, "get nosuch: no such volume"),
    ("DELETE", "/volumes/nosuch", None, 404, "get nosuch: no such volume"),
    ("POST", "/volumes/create", '{"Name":"!"}', 400, "create !: volume name is too short, names should be at least two alphanumeric characters"),
    ("POST", "/volumes/create", '{"Name":"data"}', 501, "volumes are not supported yet: mount a directory of the host instead"),
    ("POST", "/volumes/create", '{"Name":1}', 400, "invalid JSON: json: cannot unmarshal number into Go struct field Name of type string"),
    ("PUT", "/volumes/x?version=1", "{}", 503, "volume update only valid for cluster volumes, but swarm is unavailable"),
    ("POST", "/v1.41/volumes/prune?filters=%7B%22all%22:%5B%221%22%5D%7D", None, 400, "invalid filter 'all'"),
    ("DELETE", "/networks/bridge", None, 403, "bridge is a pre-defined network and cannot be removed"),
    ("DELETE", "/networks/nosuch", None, 404, "network nosuch not found"),
    ("GET", "/networks/bridge?scope=swarm", None, 404, "network bridge not found"),
    ("GET", "/networks/bridge?verbose=zz", None, 400, 'invalid value for verbose: zz: strconv.ParseBool: parsing "zz": invalid syntax'),
    ("GET", "/networks?filters=%7B%22type%22:%5B%22x%22%5D%7D", None, 400, "invalid filter: 'type'='x'"),
    ("POST", "/networks/create", '{"Name":"host"}', 403, "operation is not permitted on predefined host network "),
    ("POST", "/networks/bridge/connect", '{"Container":"nosuch"}', 404, "No such container: nosuch"),
    ("POST", "/networks/bridge/disconnect", "{}", 400, 'invalid name or ID supplied: ""'),
    ("POST", "/networks/prune?filters=%7B%22foo%22:%5B%22x%22%5D%7D", None, 400, "invalid filter 'foo'"),
    ("GET", "/distribution/BAD/json", None, 400, "invalid reference format: repository name (library/BAD) must be lowercase"),
    ("GET", "/distribution/busybox/json", None, 501, "asking registries is not supported yet"),
    ("POST", "/session", None, 400, "no upgrade proto in request"),
    ("POST", "/build/cancel", None, 400, "build ID not provided"),
    ("GET", "/images/search?term=x&limit=101", None, 400, "Limit 101 is outside the range of [1, 100]"),
    ("GET", "/images/search?term=x", None, 501, "searching registries is not supported yet"),
    ("POST", "/images/nosuch/push", None, 404, "An image does not exist locally with the tag: nosuch"),
    ("POST", "/images/busybox/push", None, 501, "pushing images is not supported yet"),
    ("POST", "/images/BAD/push", None, 400, "invalid reference format: repository name (library/BAD) must be lowercase"),
]  # fmt: skip


@in_trio
async def test_what_is_not_there_is_said_in_dockers_words(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        before = engine.ledger.log.last_seq
        for method, target, body, status, message in ANSWERS:
            response = await ask(engine, method, target, body)

            answer = json.loads(response.body)
            assert (response.status, answer) == (status, {"message": message}), (method, target)
        assert engine.ledger.log.last_seq == before


NOTHING: list[tuple[str, str, object]] = [
    ("GET", "/plugins", []),
    ("GET", "/volumes", {"Volumes": [], "Warnings": None}),
    ("POST", "/volumes/prune", {"VolumesDeleted": [], "SpaceReclaimed": 0}),
    ("POST", "/networks/prune", {"NetworksDeleted": None}),
    ("POST", "/build/prune", {"CachesDeleted": None, "SpaceReclaimed": 0}),
    ("POST", "/images/prune", {"ImagesDeleted": None, "SpaceReclaimed": 0}),
    ("GET", "/networks?filters=%7B%22dangling%22:%5B%22true%22%5D%7D", []),
    ("GET", "/networks?filters=%7B%22type%22:%5B%22custom%22%5D%7D", []),
]


@in_trio
async def test_where_there_is_nothing_to_list_or_prune_nothing_is_reported(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        for method, target, nothing in NOTHING:
            response = await ask(engine, method, target)

            assert (response.status, json.loads(response.body)) == (200, nothing), target
        gone = await engine.server.ask(
            get("/volumes/x?force=1").replace(b"GET", b"DELETE", 1), "DELETE"
        )

    assert gone.status == 204
