"""Test containers of any description: what was requested is what inspect shows, or it is refused
before anything is made.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.conformance.document import document
from tests.conformance.random_requests import anything, encoded, like
from tests.conformance.raw_http import ask, request_bytes
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

JSON: Final = "Content-Type: application/json"
_NAME: Final = st.from_regex(r"[a-z][a-z0-9_.-]{0,20}", fullmatch=True)
_TEXT: Final = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30
)
_WORDS: Final = st.lists(_TEXT.filter(bool), min_size=1, max_size=4)
_PATH: Final = st.from_regex(r"/[a-z0-9]{1,12}(/[a-z0-9._-]{1,12})?", fullmatch=True)
_PORT: Final = st.builds("{}/{}".format, st.integers(1, 65535), st.sampled_from(("tcp", "udp")))

CONFIG: Final = st.fixed_dictionaries(
    {"Cmd": _WORDS},
    optional={
        "Entrypoint": _WORDS,
        "Env": st.dictionaries(_NAME, _TEXT, max_size=4).map(
            lambda pairs: [f"{name}={value}" for name, value in pairs.items()]
        ),
        "Labels": st.dictionaries(_NAME, _TEXT, max_size=4),
        "WorkingDir": _PATH,
        "User": st.sampled_from(("", "root", "0:0", "1000", "nobody:nogroup")),
        "Hostname": st.from_regex(r"[a-z][a-z0-9-]{0,20}[a-z0-9]", fullmatch=True),
        "Domainname": st.sampled_from(("", "example.org")),
        "Tty": st.booleans(),
        "OpenStdin": st.booleans(),
        "StdinOnce": st.booleans(),
        "StopSignal": st.sampled_from(("SIGTERM", "SIGUSR1", "9", "SIGRTMIN+3")),
        "StopTimeout": st.integers(0, 3600),
        "ExposedPorts": st.dictionaries(_PORT, st.just({}), max_size=3),
    },
)
HOST_CONFIG: Final = st.fixed_dictionaries(
    {},
    optional={
        "Memory": st.integers(6 << 20, 1 << 40),
        "MemoryReservation": st.integers(6 << 20, 6 << 20),
        "CpuShares": st.integers(2, 262144),
        "NanoCpus": st.integers(10_000_000, 1_000_000_000),
        "PidsLimit": st.integers(1, 4_000_000),
        "CapAdd": st.lists(st.sampled_from(("CAP_NET_ADMIN", "CAP_SYS_PTRACE", "ALL")), unique=True, max_size=2),
        "CapDrop": st.lists(st.sampled_from(("CAP_MKNOD", "CAP_AUDIT_WRITE", "ALL")), unique=True, max_size=2),
        "SecurityOpt": st.lists(st.sampled_from(("no-new-privileges", "seccomp=unconfined")), unique=True, min_size=1),
        "Privileged": st.booleans(),
        "ReadonlyRootfs": st.booleans(),
        "Init": st.booleans(),
        "AutoRemove": st.booleans(),
        "GroupAdd": st.lists(st.sampled_from(("0", "1000", "nogroup")), max_size=2),
        "OomScoreAdj": st.integers(-1000, 1000),
        "ShmSize": st.integers(1, 1 << 40),
        "Sysctls": st.just({"net.ipv4.ip_forward": "1"}),
        "Tmpfs": st.dictionaries(_PATH, st.sampled_from(("", "size=1m", "rw,noexec")), max_size=2),
        "Ulimits": st.just([{"Name": "nofile", "Soft": 100, "Hard": 200}]),
        "ExtraHosts": st.lists(st.sampled_from(("a:10.0.0.1", "b:::1")), unique=True),
        "Dns": st.lists(st.sampled_from(("10.0.0.1", "fd00::1")), unique=True),
        "DnsSearch": st.lists(st.just("example.org"), max_size=1),
        "DnsOptions": st.lists(st.just("ndots:2"), max_size=1),
        "PortBindings": st.dictionaries(_PORT, st.just([{"HostIp": "127.0.0.1", "HostPort": ""}]), max_size=2),
        "RestartPolicy": st.sampled_from(({"Name": "on-failure", "MaximumRetryCount": 3}, {"Name": "no", "MaximumRetryCount": 0})),
        "NetworkMode": st.sampled_from(("none", "host", "bridge")),
    },
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def soundness(engine: DaemonUnderTest) -> Iterator[None]:
    yield
    assert engine.api.verify()["ok"] is True
    assert "request_failed" not in engine.log, engine.log[
        engine.log.index("request_failed") - 100 :
    ][:6000]


def begin_with_nothing(engine: DaemonUnderTest) -> None:
    """Remove what a failed example has left."""
    for each in engine.api.ps():
        engine.api.request("DELETE", f"/containers/{each['Id']}", force=1)
    eventually(lambda: engine.api.ps() == [], "no container is left")


def bounded(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


@bounded(100)
@given(CONFIG, HOST_CONFIG)
def test_what_is_requested_is_what_is_shown(
    engine: DaemonUnderTest, config: dict[str, Any], host_config: dict[str, Any]
) -> None:
    begin_with_nothing(engine)
    api = engine.api
    if host_config.get("Privileged"):
        host_config.pop("SecurityOpt", None)  # to which Docker adds one then
    if host_config.get("RestartPolicy", {}).get("MaximumRetryCount"):
        host_config.pop("AutoRemove", None)  # Docker does not accept both

    created = api.post(
        "/containers/create", {"Image": "busybox", **config, "HostConfig": host_config}
    )

    found = api.inspect(created.json["Id"])
    published = host_config.get("PortBindings", {})
    config.setdefault("ExposedPorts", {}).update({port: {} for port in published})
    assert _requested_fields(found["Config"], config) == config
    assert _requested_fields(found["HostConfig"], host_config) == host_config
    assert [each["Id"] for each in api.ps()] == [found["Id"]]
    api.remove(found["Id"])
    assert api.ps() == []


def _requested_fields(found: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that were requested; null and empty are the same."""
    return {
        name: found.get(name) or (found.get(name) if asked[name] else asked[name]) for name in asked
    }


@st.composite
def nearly_right(draw: DrawFn) -> dict[str, Any]:
    """Generate a body for create with an existing image, and a few fields that fit, nearly fit, or
    don't.
    """
    body = draw(_some_fields("CreateInput"))
    body["HostConfig"] = draw(_some_fields("HostConfigInput"))
    return {"Cmd": ["true"], **body, "Image": "busybox"}


@st.composite
def _some_fields(draw: DrawFn, name: str) -> dict[str, Any]:
    fields = document().schemas[name]["properties"]
    names = draw(st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True))
    return {
        name: draw(anything if draw(st.integers(0, 3)) == 0 else like(fields[name]))
        for name in names
    }


@bounded(200)
@given(nearly_right())
def test_what_is_nearly_right_is_made_or_refused_and_can_be_removed(
    engine: DaemonUnderTest, body: dict[str, Any]
) -> None:
    begin_with_nothing(engine)
    request = request_bytes("POST", b"/containers/create", JSON, body=encoded(body))

    response = ask(engine.api.socket_path, request)

    note(f"response: {response}")
    assert response is not None
    assert response.status in (201, 400, 404, 409, 501), response
    if response.status == 201:
        identity = json.loads(response.body)["Id"]
        started = engine.api.request("POST", f"/containers/{identity}/start")
        note(f"started: {started}")
        assert started.status in (204, 400, 403, 404, 409), started
        assert engine.api.request("GET", f"/containers/{identity}/json").status in (200, 404)
        engine.api.request("DELETE", f"/containers/{identity}", force=1)  # it may be starting
    eventually(lambda: engine.api.ps() == [], "no container is left")
