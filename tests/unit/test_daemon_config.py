"""Test the daemon's options, and its errors for invalid ones."""

from collections.abc import Callable
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from engine.daemon.config import Config, ConfigError, load, tcp_address


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "shipslogd.toml"
        path.write_text(text)
        return str(path)

    return write


def test_every_field_can_stand_in_the_file(write: Callable[[str], str]) -> None:
    file = write(
        'hosts = ["unix:///tmp/x.sock"]\ndata_root = "/d"\nexec_root = "/e"\npidfile = "/p"\n'
        'bip = "10.1.2.1/24"\ncgroup_parent = "c"\nlog_level = "debug"\nlog_format = "json"\n'
        'socket_group = "users"\ninit_path = "/i"\ntls = true\ntlsverify = true\ntlscacert = "/ca"\n'
        'tlscert = "/cert"\ntlskey = "/key"\nallow_unauthenticated_tcp = true\n'
    )

    assert load(["--config", file]) == Config(
        hosts=("unix:///tmp/x.sock",),
        data_root=Path("/d"),
        exec_root=Path("/e"),
        pidfile=Path("/p"),
        bip=IPv4Interface("10.1.2.1/24"),
        cgroup_parent="c",
        log_level="debug",
        log_format="json",
        socket_group="users",
        init_path=Path("/i"),
        tls=True,
        tlsverify=True,
        tlscacert=Path("/ca"),
        tlscert=Path("/cert"),
        tlskey=Path("/key"),
        allow_unauthenticated_tcp=True,
    )


def test_the_command_line_wins_over_the_file(write: Callable[[str], str]) -> None:
    file = write('data_root = "/from/file"\nexec_root = "/from/file/too"\n')

    config = load(
        ["--config", file, "--data-root", "/from/line", "-H", "unix:///a", "-H", "unix:///b"]
    )

    assert config.data_root == Path("/from/line")
    assert config.exec_root == Path("/from/file/too")
    assert config.hosts == ("unix:///a", "unix:///b")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('\n\ndata-root = "/d"\n', "line 3: data-root: unknown key"),
        ('log_level = "info"\n[log]\nkey = 1\n', "line 2: log: unknown key"),
        ("data_root = 5\n", "line 1: data_root: expected a string, got int"),
        ('# hosts\nhosts = "unix:///x"\n', "line 2: hosts: expected an array of strings"),
        ('bip = "172.17.0.0/16"\n', "line 1: bip: 172.17.0.0/16 is not an address within"),
        ('log_format = "xml"\n', "line 1: log_format: expected one of console, json"),
        ("data_root = \n", "line 1"),
        ('tlsverify = "yes"\n', "line 1: tlsverify: expected true or false"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_line(
    write: Callable[[str], str], text: str, words: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load(["--config", write(text)])

    assert words in str(refused.value)


def test_a_file_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(["--config", "/nowhere/shipslogd.toml"])


def test_bridge_and_bip_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="mutually exclusive"):
        load(["--bridge", "br0", "--bip", "10.0.0.1/24"])


@pytest.mark.parametrize(
    "host",
    [
        "tcp://0.0.0.0:2375",
        "tcp://192.0.2.1:2375",
        "tcp://[::]:1",
        "tcp://name:1",
        "http://127.0.0.1",
    ],
)
@pytest.mark.parametrize("tls", [(), ("--tls",)])
def test_a_reachable_address_without_certificates_is_refused(
    host: str, tls: tuple[str, ...]
) -> None:
    """Encryption alone does not identify clients."""
    with pytest.raises(ConfigError, match="loopback"):
        load(["-H", host, *tls])


@pytest.mark.parametrize("option", ["--tlsverify", "--allow-unauthenticated-tcp"])
def test_a_reachable_address_is_accepted_with_certificates_or_when_allowed(
    option: str,
) -> None:
    assert load(["-H", "tcp://0.0.0.0", option]).hosts == ("tcp://0.0.0.0",)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("tcp://", ("127.0.0.1", 2375)),
        ("tcp://:80", ("127.0.0.1", 80)),
        ("tcp://[::1]:80", ("::1", 80)),
        ("tcp://localhost", ("localhost", 2375)),
        ("tcp://127.0.0.1:0", ("127.0.0.1", 0)),
    ],
)
def test_a_host_may_leave_out_what_has_a_default(host: str, address: tuple[str, int]) -> None:
    assert tcp_address(host, 2375) == address
    assert load(["-H", host]).hosts == (host,)


def test_verifying_clients_implies_encryption() -> None:
    assert load(["--tlsverify"]).uses_tls
    assert not load([]).uses_tls


def test_dockers_group_is_the_default() -> None:
    assert load([]).socket_group == "docker"
    assert load(["-G", "wheel"]).socket_group == load(["--group", "wheel"]).socket_group == "wheel"
