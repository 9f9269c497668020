"""Test ``docker login``: a registry is asked, the client gets its answer, and no secret is kept."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.clients import Client
from tests.api.registries import (
    PASSWORD,
    USER,
    TokenRegistry,
    free_port,
    registry,
    token_registry,
)
from tests.harness.client import Reply
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def registry_port(
    throwaway_namespaces: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    with registry(tmp_path_factory.mktemp("registry")) as port:
        yield port


@pytest.fixture
def tokens() -> Iterator[TokenRegistry]:
    with token_registry() as server:
        yield server


def log_in(daemon: DaemonUnderTest, server: str, password: str = PASSWORD, **more: str) -> Reply:
    body = {"username": USER, "password": password, "serveraddress": server, **more}
    return daemon.api.request("POST", "/auth", body)


def remembered(daemon: DaemonUnderTest) -> list[tuple[str, str]]:
    entries = daemon.api.history(type="host_registry_logged_in")
    return [(each["data"]["registry"], each["data"]["username"]) for each in entries]


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "localhost:{}", "http://127.0.0.1:{}/v1/"])
def test_a_registry_with_passwords_takes_the_right_one(
    address: str, registry_port: int, daemon: DaemonUnderTest
) -> None:
    granted = log_in(daemon, address.format(registry_port))

    assert (granted.status, granted.json) == (
        200,
        {"IdentityToken": "", "Status": "Login Succeeded"},
    )


def test_a_wrong_password_is_unauthorised(registry_port: int, daemon: DaemonUnderTest) -> None:
    refused = log_in(daemon, f"127.0.0.1:{registry_port}", "wrong")
    anonymous = daemon.api.request("POST", "/auth", {"serveraddress": f"127.0.0.1:{registry_port}"})

    url = f"http://127.0.0.1:{registry_port}/v2/"
    assert (refused.status, refused.message) == (
        401,
        f"login attempt to {url} failed with status: 401 Unauthorized",
    )
    assert (anonymous.status, anonymous.message) == (401, f'Get "{url}": no basic auth credentials')


def test_dockers_command_logs_in_and_says_why_it_could_not(
    registry_port: int, docker: Client, tmp_path: Path
) -> None:
    def login(password: str) -> tuple[int, str, str]:
        words = ("--config", str(tmp_path), "login", "-u", USER, "--password-stdin")
        done = docker(*words, f"127.0.0.1:{registry_port}", given=password.encode())
        return done.code, done.out, done.err

    wrong, right = login("wrong"), login(PASSWORD)

    assert wrong[0] == 1
    assert "failed with status: 401 Unauthorized" in wrong[2]
    assert right[0] == 0
    assert "Login Succeeded" in right[1]


def test_a_token_service_is_asked_for_a_token(
    tokens: TokenRegistry, daemon: DaemonUnderTest
) -> None:
    granted = log_in(daemon, f"127.0.0.1:{tokens.server_port}")

    assert granted.json == {"IdentityToken": "identity-1", "Status": "Login Succeeded"}
    query = "account=sailor&client_id=docker&offline_token=true&service=harbour"
    assert f"/token?x=1&{query}" in tokens.asked


def test_an_identity_token_stands_for_the_password(
    tokens: TokenRegistry, daemon: DaemonUnderTest
) -> None:
    server = f"127.0.0.1:{tokens.server_port}"

    assert log_in(daemon, server, "", identitytoken="identity-1").status == 200
    assert log_in(daemon, server, "", identitytoken="identity-2").status == 401


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        ({"details": "incorrect username or password"}, "incorrect username or password"),
        ({"errors": [{"code": "DENIED", "message": "no way"}]}, "no way"),
        ("what?", "incorrect username or password"),
    ],
)
def test_a_token_services_reason_is_reported(
    refusal: object, reason: str, tokens: TokenRegistry, daemon: DaemonUnderTest
) -> None:
    tokens.refusal = refusal

    refused = log_in(daemon, f"127.0.0.1:{tokens.server_port}", "wrong")

    url = f"http://127.0.0.1:{tokens.server_port}/v2/"
    assert (refused.status, refused.message) == (401, f'Get "{url}": unauthorized: {reason}')


@pytest.mark.parametrize("realm", ["http://10.0.0.9/token", "ftp://127.0.0.1/", "", "http://h\tx/"])
def test_a_password_is_not_sent_to_an_unsafe_realm(
    realm: str, tokens: TokenRegistry, daemon: DaemonUnderTest
) -> None:
    tokens.realm = realm

    refused = log_in(daemon, f"127.0.0.1:{tokens.server_port}")

    assert refused.status == 503
    assert "where it would not be safe" in refused.message


@pytest.mark.parametrize("token", ["", "a\r\nX-Evil: 1"])
def test_a_token_that_is_none_is_the_registrys_fault(
    token: str, tokens: TokenRegistry, daemon: DaemonUnderTest
) -> None:
    tokens.token = token

    refused = log_in(daemon, f"127.0.0.1:{tokens.server_port}")

    assert refused.status == 503
    assert "did not include a token" in refused.message


def test_a_registry_that_is_not_there_is_named(daemon: DaemonUnderTest) -> None:
    port = free_port()
    refused = log_in(daemon, f"127.0.0.1:{port}")
    elsewhere = log_in(daemon, "10.255.255.1:5000")

    assert (refused.status, refused.message) == (
        503,
        f'Get "http://127.0.0.1:{port}/v2/": dial tcp 127.0.0.1:{port}: connect: connection refused',
    )
    assert elsewhere.status == 503
    assert elsewhere.message.startswith('Get "https://10.255.255.1:5000/v2/": dial tcp ')


def test_what_is_no_registry_is_not_believed(daemon: DaemonUnderTest) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.listen()
        refused = _asked_while_talking(daemon, server, port)

    assert (refused.status, refused.message) == (
        503,
        f'Get "http://127.0.0.1:{port}/v2/": malformed HTTP response',
    )


def _asked_while_talking(daemon: DaemonUnderTest, server: socket.socket, port: int) -> Reply:
    """The listener's backlog holds both attempts; a thread answers each with something that is not
    HTTP.
    """
    from threading import Thread

    def talk() -> None:
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 harbour ESMTP\r\n" * 3)
                while connection.recv(65536):
                    pass

    talking = Thread(target=talk)
    talking.start()
    try:
        return log_in(daemon, f"127.0.0.1:{port}")
    finally:
        talking.join()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "no registry to log in to: name one, this engine has no default"),
        ("host:x", "unable to parse server address"),
    ],
)
def test_a_login_needs_a_registry(address: str, message: str, daemon: DaemonUnderTest) -> None:
    refused = log_in(daemon, address)

    assert refused.status == 400
    assert message in refused.message


def test_who_logged_in_where_is_history_and_the_secret_is_nowhere(
    registry_port: int, tokens: TokenRegistry, daemon: DaemonUnderTest
) -> None:
    before = len(remembered(daemon))
    log_in(daemon, f"127.0.0.1:{registry_port}")
    log_in(daemon, f"127.0.0.1:{registry_port}", "wr0ng-secret")
    log_in(daemon, f"127.0.0.1:{tokens.server_port}")

    assert remembered(daemon)[before:] == [
        (f"127.0.0.1:{registry_port}", USER),
        (f"127.0.0.1:{tokens.server_port}", USER),
    ]
    kept = [path.read_bytes() for path in daemon.data_root.iterdir() if path.is_file()]
    assert any(USER.encode() in content for content in kept), "the database is among them"
    for secret in (PASSWORD, "wr0ng-secret", "identity-1", "token-1"):
        assert secret not in daemon.log
        assert not any(secret.encode() in content for content in kept)
