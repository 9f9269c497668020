"""Parse a bundle: ``config.json`` (OCI runtime-spec) and ``monitor.json``.

The names are the specification's (config.md, config-linux.md); keys that this engine never writes
are not listed. A bundle is read once, by the child that becomes the container's first process.
"""

from typing import NamedTuple, TypedDict

from engine.runtime.json_text import parse
from engine.runtime.kernel_files import read_once


class User(TypedDict, total=False):
    """The user of a process; ``username`` (``user[:group]``) takes precedence over ``uid`` and
    ``gid``.

    ``username`` and ``additionalGroups`` are names or numbers and not part of the specification:
    they are looked up inside the root file system, which only this process can do safely.
    """

    uid: int
    gid: int
    additionalGids: list[int]
    additionalGroups: list[str]
    umask: int
    username: str


class Rlimit(TypedDict):
    """One resource limit: ``RLIMIT_*``, getrlimit(2); -1 is infinity."""

    type: str
    soft: int
    hard: int


class ConsoleSize(TypedDict):
    """The terminal's initial size, in characters."""

    height: int
    width: int


class Capabilities(TypedDict, total=False):
    """The five sets of capabilities(7), as ``CAP_*`` names."""

    bounding: list[str]
    effective: list[str]
    inheritable: list[str]
    permitted: list[str]
    ambient: list[str]


class Process(TypedDict, total=False):
    """The program to execute, and its user (config.md, Process)."""

    terminal: bool
    consoleSize: ConsoleSize
    user: User
    args: list[str]
    env: list[str]
    cwd: str
    capabilities: Capabilities
    rlimits: list[Rlimit]
    noNewPrivileges: bool
    oomScoreAdj: int


class Mount(TypedDict, total=False):
    """One mount (config.md, Mounts)."""

    destination: str
    type: str
    source: str
    options: list[str]


class Device(TypedDict, total=False):
    """A device node to make; ``type`` is c, b, u or p, ``fileMode`` the permission bits
    (config-linux.md, Devices).
    """

    path: str
    type: str
    major: int
    minor: int
    fileMode: int
    uid: int
    gid: int


class Namespace(TypedDict, total=False):
    """A namespace of the container: a new one, or the one at ``path``. Types that are not listed
    are shared with the host.
    """

    type: str
    path: str


class Linux(TypedDict, total=False):
    """Settings that only Linux has (config-linux.md)."""

    namespaces: list[Namespace]
    devices: list[Device]
    maskedPaths: list[str]
    readonlyPaths: list[str]
    sysctl: dict[str, str]
    rootfsPropagation: str


class Root(TypedDict, total=False):
    """The mount point of the root file system, relative to the bundle."""

    path: str
    readonly: bool


class Config(TypedDict, total=False):
    """``config.json``."""

    process: Process
    root: Root
    hostname: str
    domainname: str
    mounts: list[Mount]
    linux: Linux


class Overlay(TypedDict):
    """The layers of the root file system, topmost first, and its writable one."""

    lower: list[str]
    upper: str
    work: str


class LogSettings(TypedDict, total=False):
    """Options of the container's log; by default one file without limit."""

    is_kept: bool
    path: str
    bytes_max: int
    files_max: int
    compress: bool
    attributes: str
    """A JSON object, or empty."""


class MonitorConfig(TypedDict, total=False):
    """``monitor.json``: settings that the OCI specification has no field for. The files of older
    releases have more.
    """

    overlay: Overlay
    cgroup_procs: list[str]
    seccomp_path: str | None


class Bundle(NamedTuple):
    """A bundle's directory and its two files."""

    directory: str
    config: Config
    monitor: MonitorConfig


def read_bundle(directory: str) -> Bundle:
    """Parse both files of a bundle.

    Raises:
        OSError: one of them can't be read.
        ValueError: one of them is not JSON.
    """
    return Bundle(
        directory,
        parse(read_once(f"{directory}/config.json")),
        parse(read_once(f"{directory}/monitor.json")),
    )
