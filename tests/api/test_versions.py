"""Test answers to older clients, and how clients negotiate the version."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.minimal_server import get, in_trio, post
from tests.api.simulated_engine import SimulatedEngine, json_of, simulated_engine


async def shown(engine: SimulatedEngine, path: str) -> Any:
    return json_of(await engine.get(path))


@in_trio
async def test_a_ping_has_all_that_clients_negotiate_by(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        pong = await engine.get("/_ping")
        head = await engine.server.ask(get("/v1.24/_ping").replace(b"GET", b"HEAD", 1), "HEAD")

    assert (pong.status, pong.body, pong.headers["content-length"]) == (200, b"OK", "2")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "0")
    for headers in (pong.headers, head.headers):
        assert headers["api-version"] == "1.51"
        assert headers["docker-experimental"] == "false"
        assert headers["ostype"] == "linux"
        assert headers["builder-version"] == "1"
        assert headers["swarm"] == "inactive"
        assert headers["cache-control"] == "no-cache, no-store, must-revalidate"
        assert headers["pragma"] == "no-cache"
        assert headers["content-type"] == "text/plain; charset=utf-8"


FIELDS: list[tuple[str, str, str, str]] = [
    ("/info", "KernelMemory", "1.41", "1.42"),
    ("/info", "BridgeNfIptables", "1.49", "1.50"),
    ("/images/busybox/json", "VirtualSize", "1.43", "1.44"),
    ("/images/busybox/json", "Container", "1.44", "1.45"),
    ("/images/busybox/json", "ContainerConfig", "1.44", "1.45"),
]


@pytest.mark.parametrize(("path", "field", "last", "gone"), FIELDS)
@in_trio
async def test_a_removed_field_is_sent_to_older_clients_only(
    path: str, field: str, last: str, gone: str, tmp_path: Path
) -> None:
    async with simulated_engine(tmp_path) as engine:
        assert field in await shown(engine, f"/v{last}{path}")
        assert field not in await shown(engine, f"/v{gone}{path}")


@in_trio
async def test_a_new_field_is_sent_to_newer_clients_only(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        assert "FirewallBackend" not in await shown(engine, "/v1.48/info")
        assert "FirewallBackend" in await shown(engine, "/v1.49/info")
        assert "EnableIPv4" not in await shown(engine, "/v1.47/networks/bridge")
        assert "EnableIPv4" in await shown(engine, "/v1.48/networks/bridge")
        assert (await shown(engine, "/v1.24/info"))["SecurityOptions"] == ["seccomp"]
        commits = [
            (await shown(engine, f"/v{version}/info"))["RuncCommit"] for version in ("1.48", "1.49")
        ]

    assert commits == [{"ID": "N/A", "Expected": "N/A"}, {"ID": "N/A"}]


@in_trio
async def test_an_images_users_are_counted_for_the_answer(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("user")
        old, new = [
            (await shown(engine, f"/v{version}/images/json"))[0] for version in ("1.50", "1.51")
        ]
        shared = (await shown(engine, "/images/json?shared-size=1"))[0]

    assert (old["Containers"], new["Containers"]) == (-1, 1)
    assert (old["SharedSize"], shared["SharedSize"]) == (-1, 0)


@in_trio
async def test_version_is_shown_once_for_old_clients_and_by_component_for_new(
    tmp_path: Path,
) -> None:
    async with simulated_engine(tmp_path) as engine:
        version = await shown(engine, "/version")
        info = await shown(engine, "/info")

    (component,) = version["Components"]
    assert (
        component["Details"].items()
        >= {
            name: version[name]
            for name in ("ApiVersion", "MinAPIVersion", "Os", "Arch", "KernelVersion", "BuildTime")
        }.items()
    )
    assert version["BuildTime"].endswith("Z")
    assert dict(info["DriverStatus"]).keys() >= {"Backing Filesystem", "Supports d_type"}
    assert {"Base": "192.168.0.0/16", "Size": 20} in info["DefaultAddressPools"]
    assert info["IndexServerAddress"] == "", "there is no default registry"


@in_trio
async def test_a_login_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        before = engine.ledger.log.last_seq
        answers = []
        for server, password in [("registry.test:5000", "x"), ("elsewhere.test", "ahoy"), ("", "")]:
            body = {"username": "sailor", "password": password, "serveraddress": server}
            answers.append((await engine.post("/auth", body)).status)
        malformed = await engine.server.ask(
            post("/auth", b'{"password":7}', "Content-Type: application/json"), "POST"
        )
        assert engine.ledger.log.last_seq == before
        body = {"username": "sailor", "password": "ahoy", "serveraddress": "registry.test:5000"}
        granted = await engine.post("/auth", body)

    assert answers == [401, 503, 400]
    assert malformed.status == 400
    assert json.loads(granted.body) == {"IdentityToken": "identity", "Status": "Login Succeeded"}
