"""Test the port ``Registries``: a registry that gives tokens, in memory and behind HTTP."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from engine.domain.image.registry import Credentials, LoginRefused, Registry, RegistryUnavailable
from engine.drivers.lanes import Lanes
from engine.drivers.registries.port import LinuxRegistries
from engine.ports.registries import Registries
from tests.api import registries as served
from tests.fakes import registries as fake
from tests.timeouts import patient

PATIENCE_S = 20.0


@dataclass(frozen=True)
class RegistriesUnderTest:
    """The port, and which registry and user there are."""

    port: Registries
    registry: Registry
    username: str
    password: str
    absent: Registry
    """Nobody answers for it."""

    def log_in(self, **credentials: str) -> str:
        return _in_time(lambda: self.port.log_in(self.registry, Credentials(**credentials)))


def _in_time(ask: Callable[[], Awaitable[str]]) -> str:
    async def run() -> str:
        with trio.fail_after(patient(PATIENCE_S)):
            return await ask()

    return trio.run(run)


@pytest.fixture(params=["fake", "real"])
def registries(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RegistriesUnderTest]:
    if request.param == "fake":
        yield RegistriesUnderTest(
            fake.FakeRegistries(), fake.REGISTRY, fake.USER, fake.PASSWORD, Registry("absent.test")
        )
        return
    with served.token_registry() as server:
        yield RegistriesUnderTest(
            LinuxRegistries(Lanes(), tmp_path),
            Registry("127.0.0.1", server.server_port),
            served.USER,
            served.PASSWORD,
            Registry("127.0.0.1", served.free_port()),
        )


def test_a_password_is_exchanged_for_a_token_that_is_good_for_the_next_login(
    registries: RegistriesUnderTest,
) -> None:
    token = registries.log_in(username=registries.username, password=registries.password)

    assert token
    assert registries.log_in(username=registries.username, identity_token=token) == token


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "wrong"},
        {"username": "stranger"},
        {"password": "", "identity_token": "wrong"},
        {"username": "", "password": ""},
    ],
    ids=str,
)
def test_wrong_credentials_are_refused_in_the_registrys_name(
    wrong: dict[str, str], registries: RegistriesUnderTest
) -> None:
    right = {"username": registries.username, "password": registries.password}

    with pytest.raises(LoginRefused) as refused:
        registries.log_in(**{**right, **wrong})

    assert str(refused.value).endswith(
        f'{registries.registry}/v2/": unauthorized: incorrect username or password'
    )


def test_a_registry_that_does_not_answer_is_unavailable(registries: RegistriesUnderTest) -> None:
    with pytest.raises(RegistryUnavailable) as failed:
        _in_time(lambda: registries.port.log_in(registries.absent, Credentials()))

    assert str(failed.value).startswith('Get "http')
    assert f'//{registries.absent}/v2/": dial tcp' in str(failed.value)
