"""Test how registries are addressed, and how their challenges are parsed."""

import pytest

from engine.domain.image.registry import Credentials, parse_registry
from engine.drivers.registries.http import Answer
from engine.drivers.registries.login import Challenge, challenges_of
from engine.errors import InvalidRequest


@pytest.mark.parametrize(
    ("address", "registry"),
    [
        ("registry.test", "registry.test"),
        ("registry.test:5000", "registry.test:5000"),
        ("https://registry.test/v1/", "registry.test"),
        ("http://127.0.0.1:5000/v2/x", "127.0.0.1:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("Registry.Test", "registry.test"),
    ],
)
def test_an_address_may_be_a_url(address: str, registry: str) -> None:
    assert str(parse_registry(address)) == registry


@pytest.mark.parametrize(
    "address",
    ["host:x", "host:99999", "a b", "https://", "user:secret@host", "h\r\nX: y", "hö.test", "[::1"],
)
def test_what_names_no_host_is_refused(address: str) -> None:
    with pytest.raises(InvalidRequest, match="unable to parse server address"):
        parse_registry(address)


def test_there_is_no_default_registry() -> None:
    with pytest.raises(InvalidRequest, match="no registry to log in to"):
        parse_registry("")


@pytest.mark.parametrize(
    ("address", "is_local"),
    [
        ("localhost:5000", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("10.0.0.1", False),
        ("localhost.test", False),
        ("127.0.0.1.test", False),
    ],
)
def test_this_machine_is_distinguished_from_others(address: str, is_local: bool) -> None:
    assert parse_registry(address).is_local is is_local


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (
            'Basic realm="a \\"quoted\\" harbour"',
            Challenge("basic", {"realm": 'a "quoted" harbour'}),
        ),
        (
            'BEARER realm="https://x/token",Service=svc , scope="a,b"',
            Challenge("bearer", {"realm": "https://x/token", "service": "svc", "scope": "a,b"}),
        ),
        ("Negotiate", Challenge("negotiate", {})),
    ],
)
def test_a_challenge_has_a_scheme_and_parameters(header: str, challenge: Challenge) -> None:
    assert list(challenges_of(Answer(401, (header,), b""))) == [challenge]


def test_secrets_are_not_shown() -> None:
    credentials = Credentials(username="sailor", password="ahoy", identity_token="token-1")

    assert "ahoy" not in repr(credentials)
    assert "token-1" not in repr(credentials)
