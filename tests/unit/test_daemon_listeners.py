"""Test the daemon's listeners: sockets made, sockets passed, and what is left behind."""

import grp
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.daemon.config import Config, ConfigError
from engine.daemon.listeners import Listeners, open_listeners


@contextmanager
def opened(config: Config, environment: dict[str, str] | None = None) -> Iterator[Listeners]:
    listeners = open_listeners(config, environment or {})
    try:
        yield listeners
    finally:
        listeners.close()


def addresses(listeners: Listeners) -> list[Any]:
    return [entrance.listener.socket.getsockname() for entrance in listeners.entrances]


def test_a_unix_socket_is_open_to_its_group_only(tmp_path: Path) -> None:
    path = tmp_path / "s"
    group = grp.getgrgid(os.getgid()).gr_name
    with opened(Config(hosts=(f"unix://{path}",), socket_group=group)):
        status = path.stat()

        assert stat.S_IMODE(status.st_mode) == 0o660
        assert status.st_gid == os.getgid()
    assert not path.exists()


def test_a_group_that_was_asked_for_must_exist_and_the_default_one_need_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = (f"unix://{tmp_path}/s",)
    monkeypatch.setattr("engine.daemon.listeners.DEFAULT_GROUP", "no-such-group")
    with opened(Config(hosts=hosts, socket_group="no-such-group")):
        pass

    with pytest.raises(ConfigError, match="no-such-either"):
        open_listeners(Config(hosts=hosts, socket_group="no-such-either"), {})
    assert not (tmp_path / "s").exists()


def test_all_hosts_are_listened_on_or_none(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        hosts = (f"unix://{tmp_path}/s", f"tcp://127.0.0.1:{taken}")
        with pytest.raises(ConfigError, match=f"listen on tcp://127.0.0.1:{taken}: "):
            open_listeners(Config(hosts=hosts, socket_group=""), {})

    assert not (tmp_path / "s").exists()


def test_another_daemons_socket_is_left_alone(tmp_path: Path) -> None:
    config = Config(hosts=(f"unix://{tmp_path}/s",), socket_group="")
    with opened(config) as first:
        with pytest.raises(ConfigError):
            open_listeners(config, {})
        assert (tmp_path / "s").is_socket()

        (tmp_path / "s").unlink()
        with opened(config):
            first.remove_sockets()
            assert (tmp_path / "s").is_socket()


@pytest.mark.parametrize("host", ["tcp://127.0.0.1:0", "tcp://[::1]:0"])
def test_tcp_is_listened_on(host: str) -> None:
    with opened(Config(hosts=(host,))) as listeners:
        ((name, port, *_),) = addresses(listeners)

        with socket.create_connection((name, port)):
            pass


def test_certificates_that_are_not_there_are_named(tmp_path: Path) -> None:
    config = Config(hosts=("tcp://127.0.0.1:0",), tlsverify=True, tlscert=tmp_path / "none.pem")
    with pytest.raises(ConfigError, match=r"could not read certificate .*none\.pem"):
        open_listeners(config, {})


# Descriptors are passed by number, from 3 on, which are in use in a test: here it is 900.


def passed(
    monkeypatch: pytest.MonkeyPatch, sockets: list[socket.socket], names: str = ""
) -> dict[str, str]:
    """Set the environment of a process that was passed these sockets."""
    monkeypatch.setattr("engine.daemon.socket_activation.FIRST_FD", 900)
    for place, each in enumerate(sockets):
        os.dup2(each.fileno(), 900 + place, inheritable=True)
        each.close()
    count = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets))}
    return count | ({"LISTEN_FDNAMES": names} if names else {})


def unix_listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    return listener


def test_passed_sockets_are_taken_are_not_inherited_and_stay_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    environment = passed(monkeypatch, [unix_listener(one), unix_listener(two)])

    with opened(Config(hosts=("fd://",)), environment) as listeners:
        assert addresses(listeners) == [str(one), str(two)]
        assert not os.get_inheritable(900)
        assert not os.get_inheritable(901)
        assert not os.get_blocking(900)
    assert one.is_socket()
    assert two.is_socket()


@pytest.mark.parametrize("wanted", ["fd://api", "fd://901"])
def test_passed_sockets_are_distinguished_by_name_or_number(
    wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets = [unix_listener(tmp_path / "one"), unix_listener(tmp_path / "two")]
    environment = passed(monkeypatch, sockets, "other:api")

    with opened(Config(hosts=(wanted,)), environment) as listeners:
        assert addresses(listeners) == [str(tmp_path / "two")]
    os.close(900)


def test_passed_sockets_take_the_place_of_the_default_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = passed(monkeypatch, [unix_listener(tmp_path / "one")])

    with opened(Config(), environment) as listeners:
        assert addresses(listeners) == [str(tmp_path / "one")]


def test_a_passed_port_that_others_could_reach_needs_certificates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = passed(monkeypatch, [socket.create_server(("0.0.0.0", 0))])

    with pytest.raises(ConfigError, match="root rights"):
        open_listeners(Config(hosts=("fd://",)), environment)
    with opened(Config(hosts=("fd://",), allow_unauthenticated_tcp=True), environment) as listeners:
        assert len(listeners.entrances) == 1


@pytest.mark.parametrize(
    ("host", "words"), [("fd://api", "no socket of this name was passed, but other"), ("fd://", "")]
)
def test_what_was_not_passed_is_missed(
    host: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = passed(monkeypatch, [unix_listener(tmp_path / "one")], "other") if words else {}

    with pytest.raises(ConfigError, match=words or "no sockets were passed"):
        open_listeners(Config(hosts=(host,)), environment)
    if words:
        os.close(900)


def test_sockets_that_were_passed_to_another_process_are_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = passed(monkeypatch, [unix_listener(tmp_path / "one")]) | {"LISTEN_PID": "1"}

    with pytest.raises(ConfigError, match="no sockets were passed"):
        open_listeners(Config(hosts=("fd://",)), environment)
    os.close(900)


def test_what_does_not_listen_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = passed(monkeypatch, [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)], "api")

    with pytest.raises(ConfigError, match="fd://api: not a listening stream socket"):
        open_listeners(Config(hosts=("fd://",)), environment)
    os.close(900)
