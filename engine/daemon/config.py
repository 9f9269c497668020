"""Configuration: command line over TOML file over defaults. Whatever is wrong is named, with its line where it has one."""

import argparse
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any, Final

from engine.errors import EngineError

DEFAULT_HOST: Final = "unix:///run/shipslog/shipslog.sock"
DEFAULT_FILE: Final = Path("/etc/shipslog/shipslogd.toml")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("console", "json")


class ConfigError(EngineError):
    """The configuration can't be used; the message says which key, and in which line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a daemon is told. Field names are the file's keys; options have dashes for underscores."""

    hosts: tuple[str, ...] = (DEFAULT_HOST,)
    data_root: Path = Path("/var/lib/shipslog")
    exec_root: Path = Path("/run/shipslog")
    pidfile: Path | None = None
    bip: IPv4Interface | None = None
    """The default bridge's own address, with its network's prefix length; None chooses a free subnet."""
    bridge: str = ""
    """An administrator's bridge to use instead of one of our own."""
    cgroup_parent: str = ""
    """Empty: one of this instance's own."""
    log_level: str = "info"
    log_format: str = "console"
    socket_group: str = ""
    """Whose members may use the Unix socket, besides root; empty for nobody."""
    init_path: Path | None = field(default=None)
    """A static init for ``--init``; None looks for one."""


def load(arguments: Sequence[str]) -> Config:
    """The configuration that command line and file amount to.

    Raises:
        ConfigError: a bad value or file; a bad *option* ends the process as argparse does, with status 2.
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
    option("--cgroup-parent", metavar="NAME")
    option("--log-level", choices=LOG_LEVELS)
    option("--log-format", choices=LOG_FORMATS)
    option("--socket-group", metavar="GROUP", help="may use the Unix socket")
    option("--init-path", metavar="FILE", help="a static init, for run --init")
    return parser


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
    """Where a top-level key or table stands; tomllib does not tell."""
    pattern = re.compile(rf"""^\s*\[*\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
    lines = text.splitlines()
    return next((number for number, line in enumerate(lines, 1) if pattern.match(line)), 1)


def _convert(key: str, value: Any, where: str) -> Any:  # Any: whatever TOML or argparse has
    if key == "hosts":
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ConfigError(f"{where}: expected an array of strings")
        return tuple(value)
    if not isinstance(value, str):
        raise ConfigError(f"{where}: expected a string, got {type(value).__name__}")
    if key in ("data_root", "exec_root", "pidfile", "init_path"):
        return Path(value).absolute()
    if key == "bip":
        return _bip(value, where)
    choices = {"log_level": LOG_LEVELS, "log_format": LOG_FORMATS}.get(key)
    if choices is not None and value not in choices:
        raise ConfigError(f"{where}: expected one of {', '.join(choices)}, got {value!r}")
    return value


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
        if not host.startswith(
            ("unix://", "tcp://127.0.0.1:", "tcp://[::1]:", "tcp://localhost:", "fd://")
        ):
            raise ConfigError(
                f"host {host!r}: expected unix://PATH, or tcp:// on a loopback address"
            )
    return config
