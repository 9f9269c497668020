"""Read the configuration: command line, then TOML file, then defaults."""

import argparse
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from ipaddress import IPv4Interface, ip_address, ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from engine.domain.network.addresses import SubnetSource
from engine.errors import EngineError

DEFAULT_HOST: Final = "unix:///run/shipslog/shipslog.sock"
DEFAULT_FILE: Final = Path("/etc/shipslog/shipslogd.toml")
DEFAULT_GROUP: Final = "docker"
"""As dockerd's: whoever may use one engine may use the other."""
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("console", "json")


_PATHS: Final = frozenset(
    {"data_root", "exec_root", "pidfile", "init_path", "tlscacert", "tlscert", "tlskey"}
)
_SWITCHES: Final = frozenset({"tls", "tlsverify", "allow_unauthenticated_tcp"})


class ConfigError(EngineError):
    """The configuration can't be used; the message says which key, and in which line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The daemon's configuration. Field names are the file's keys; options have dashes for
    underscores.
    """

    hosts: tuple[str, ...] = (DEFAULT_HOST,)
    data_root: Path = Path("/var/lib/shipslog")
    exec_root: Path = Path("/run/shipslog")
    pidfile: Path | None = None
    bip: IPv4Interface | None = None
    """The default bridge's own address, with its network's prefix length; None chooses a free
    subnet."""
    bridge: str = ""
    """An administrator's bridge to use instead of one of our own."""
    default_address_pools: tuple[SubnetSource, ...] = ()
    """Where networks' subnets are chosen if none is requested; no pool of a family: the default
    pools."""
    prepared_sandboxes: int = 8
    """Network namespaces kept ready for the default network; a user-defined one gets a quarter as
    many."""
    cgroup_parent: str = ""
    """Empty: one of this instance's own."""
    log_level: str = "info"
    log_format: str = "console"
    socket_group: str = DEFAULT_GROUP
    """The group whose members may use the Unix socket, besides root; empty for nobody, as when the
    default group does not exist."""
    tls: bool = False
    """TCP ports speak TLS; implied by ``tlsverify``."""
    tlsverify: bool = False
    """TLS, and each client must have a certificate that ``tlscacert`` has signed."""
    tlscacert: Path = Path("/etc/shipslog/ca.pem")
    tlscert: Path = Path("/etc/shipslog/cert.pem")
    tlskey: Path = Path("/etc/shipslog/key.pem")
    allow_unauthenticated_tcp: bool = False
    """TCP without ``tlsverify`` may be reached from other machines, too."""
    init_path: Path | None = field(default=None)
    """A static init for ``--init``; None looks for one."""

    @property
    def uses_tls(self) -> bool:
        """Return whether TCP ports speak TLS."""
        return self.tls or self.tlsverify


def load(arguments: Sequence[str]) -> Config:
    """Combine the command line and the configuration file.

    Raises:
        ConfigError: a bad value or file; a bad *option* ends the process as argparse does, with
            status 2.
    """
    options = {
        key: value
        for key, value in vars(_parser().parse_args(arguments)).items()
        if value is not None
    }
    file = options.pop("config", None)
    config = Config()
    if file is not None or DEFAULT_FILE.exists():
        config = _from_file(Path(file or DEFAULT_FILE), config)
    return _checked(
        replace(config, **{key: _convert(key, value, f"--{key}") for key, value in options.items()})
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shipslogd", description="The daemon of Shipslog, an event-sourced container engine."
    )
    option = parser.add_argument
    option("-H", "--host", action="append", dest="hosts", metavar="URL", help="where to listen")
    option("--data-root", metavar="DIR", help="what survives a reboot")
    option("--exec-root", metavar="DIR", help="what does not; better on a tmpfs")
    option("-p", "--pidfile", metavar="FILE")
    option(
        "--config",
        metavar="FILE",
        help=f"TOML; every option can stand in it (default {DEFAULT_FILE})",
    )
    option("--bip", metavar="CIDR", help="address and subnet of the default bridge")
    option("--bridge", metavar="NAME", help="an existing bridge to use")
    option(
        "--default-address-pool",
        action="append",
        dest="default_address_pools",
        metavar="base=CIDR,size=LENGTH",
        help="where subnets of networks are looked for",
    )
    option("--prepared-sandboxes", metavar="N", help="network namespaces kept ready (default 8)")
    option("--cgroup-parent", metavar="NAME")
    option("--log-level", choices=LOG_LEVELS)
    option("--log-format", choices=LOG_FORMATS)
    option(
        "-G",
        "--group",
        "--socket-group",
        dest="socket_group",
        metavar="GROUP",
        help=f"may use the Unix socket (default {DEFAULT_GROUP}, if there is one)",
    )
    _add_tls(parser)
    option("--init-path", metavar="FILE", help="a static init, for run --init")
    return parser


def _add_tls(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    defaults = Config()

    def switch(name: str, meaning: str) -> None:
        option(name, action="store_const", const=True, help=meaning)

    switch("--tls", "TCP ports speak TLS; implied by --tlsverify")
    switch("--tlsverify", "use TLS, and ask clients for certificates")
    option(
        "--tlscacert",
        metavar="FILE",
        help=f"who signs clients' certificates (default {defaults.tlscacert})",
    )
    option("--tlscert", metavar="FILE", help=f"certificate (default {defaults.tlscert})")
    option("--tlskey", metavar="FILE", help=f"its key (default {defaults.tlskey})")
    switch(
        "--allow-unauthenticated-tcp",
        "without --tlsverify, let TCP ports be reached from other machines: whoever reaches one has root rights on this",
    )


def _from_file(path: Path, config: Config) -> Config:
    try:
        text = path.read_text()
        document = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    known = {each.name for each in fields(Config)}
    changes = {}
    for key, value in document.items():
        where = f"{path}, line {_line_of(key, text)}: {key}"
        if key not in known:
            raise ConfigError(f"{where}: unknown key")
        changes[key] = _convert(key, value, where)
    return replace(config, **changes)


def _line_of(key: str, text: str) -> int:
    """Find the line of a top-level key or table; tomllib does not say."""
    pattern = re.compile(rf"""^\s*\[*\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
    lines = text.splitlines()
    return next((number for number, line in enumerate(lines, 1) if pattern.match(line)), 1)


def _convert(key: str, value: Any, where: str) -> Any:  # Any: whatever TOML or argparse has
    if key == "hosts":
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ConfigError(f"{where}: expected an array of strings")
        return tuple(value)
    if key == "default_address_pools":
        return _sources(value, where)
    if key == "prepared_sandboxes":
        return _count(value, where)
    if key in _SWITCHES:
        if not isinstance(value, bool):
            raise ConfigError(f"{where}: expected true or false")
        return value
    if not isinstance(value, str):
        raise ConfigError(f"{where}: expected a string, got {type(value).__name__}")
    if key in _PATHS:
        return Path(value).absolute()
    if key == "bip":
        return _bip(value, where)
    choices = {"log_level": LOG_LEVELS, "log_format": LOG_FORMATS}.get(key)
    if choices is not None and value not in choices:
        raise ConfigError(f"{where}: expected one of {', '.join(choices)}, got {value!r}")
    return value


def _sources(value: Any, where: str) -> tuple[SubnetSource, ...]:  # Any: whatever TOML has
    """Parse subnet sources from texts (``base=CIDR,size=LENGTH``) or tables (``{base = "CIDR", size
    = LENGTH}``).
    """
    if not isinstance(value, list):
        raise ConfigError(f"{where}: expected an array")
    return tuple(_source(each, where) for each in value)


def _source(value: Any, where: str) -> SubnetSource:  # Any: whatever TOML or argparse has
    if isinstance(value, str):
        pairs = (part.partition("=") for part in value.split(","))
        value = {name: text for name, _, text in pairs}
    try:
        base, size = ip_network(value["base"]), int(value["size"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: expected base=CIDR,size=LENGTH: {error}") from error
    if not base.prefixlen <= size <= base.max_prefixlen - 2:
        raise ConfigError(f"{where}: subnets of /{size} can't be cut from {base}")
    return SubnetSource(base, size)


def _count(value: Any, where: str) -> int:  # Any: whatever TOML or argparse has
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal():
        raise ConfigError(f"{where}: expected a number, got {value!r}")
    return int(text)


def _bip(value: str, where: str) -> IPv4Interface:
    try:
        address = IPv4Interface(value)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    network = address.network
    if network.prefixlen > 30 or address.ip in (network.network_address, network.broadcast_address):
        raise ConfigError(f"{where}: {value} is not an address within a subnet that has room")
    return address


def _checked(config: Config) -> Config:
    if config.bip is not None and config.bridge:
        raise ConfigError(
            "You specified --bridge & --bip, mutually exclusive options. Please specify only one"
        )
    for host in config.hosts:
        if not host.startswith(("unix:///", "tcp://", "fd://")):
            raise ConfigError(
                f"host {host!r}: expected unix:///PATH, tcp://ADDRESS:PORT (on loopback, or with --tlsverify), fd:// or fd://NAME"
            )
        if host.startswith("tcp://"):
            check_exposure(host, tcp_address(host, 0)[0], config)
    return config


def tcp_address(host: str, default_port: int) -> tuple[str, int]:
    """Parse ``tcp://[ADDRESS][:PORT]``. Without an address only this machine can connect, as in
    Docker.

    Raises:
        ConfigError: it can't be read.
    """
    try:
        parts = urlsplit(host)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"host {host!r}: {error}") from error
    return parts.hostname or "127.0.0.1", default_port if port is None else port


def check_exposure(host: str, address: str, config: Config) -> None:
    """Refuse a TCP port that admits everybody from other machines, unless the configuration asks
    for that.

    Raises:
        ConfigError: with what to do about it.
    """
    if config.tlsverify or config.allow_unauthenticated_tcp or _is_loopback(address):
        return
    raise ConfigError(
        f"host {host!r}: whoever reaches it would have root rights on this machine: ask for clients' certificates with "
        "--tlsverify, listen on a loopback address, or say --allow-unauthenticated-tcp"
    )


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
