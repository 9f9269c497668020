"""Define what was asked for when a container was created, with defaults resolved.

``oci.py`` translates it for the runtime. Durations end in ``_s``, sizes in
``_bytes``. Paths are the caller's words: those of the container are looked up inside its root,
those of the host by the kernel.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from engine.capability_names import ALL_CAPABILITIES
from engine.domain.container.log_config import LogConfig
from engine.domain.container.mounts import Bind, Tmpfs
from engine.domain.container.resources import Resources
from engine.domain.ids import ImageId
from engine.domain.image.config import Healthcheck

DEFAULT_STOP_SIGNAL: Final = "SIGTERM"
DEFAULT_STOP_TIMEOUT_S: Final = 10
DEFAULT_SHM_BYTES: Final = 64 * 1024 * 1024

DEFAULT_CAPABILITIES: Final = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)
"""The capabilities of a container by default: Docker's documented set."""

DEFAULT_NETWORK: Final = "bridge"
"""The network that a container is in by default."""


class Membership(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was requested of a container's place in one network."""

    name: str
    """The network's name, or the word that it was requested by when it did not exist."""
    network: str = ""
    """The ID of the network that was meant; if that is gone, another one of the name is used."""
    ipv4: str = ""
    """Empty for any that is free."""
    ipv6: str = ""
    mac: str = ""
    """Empty for the one that belongs to the address."""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    """``CONTAINER:ALIAS``."""
    driver_options: dict[str, str] = {}
    gateway_priority: int = 0


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When the supervisor starts an ended container again: ``no``, ``on-failure``, ``always``,
    ``unless-stopped``.
    """

    name: str = "no"
    retries_max: int = 0
    """With ``on-failure`` only; 0 is for ever."""


class PortBinding(msgspec.Struct, frozen=True, kw_only=True):
    """One port of the container made reachable at a port of the host."""

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    """Empty: every address of the host."""
    host_port: int = 0
    """0 until the engine has chosen one."""
    host_port_last: int = 0
    """0, or the end of a range of which the engine takes the first port that is free."""


class Ulimit(msgspec.Struct, frozen=True, kw_only=True):
    """A resource limit, setrlimit(2), by its name without ``RLIMIT_``, in lower case; -1 is
    unlimited.
    """

    name: str
    soft: int
    hard: int


class Spec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything a container is made from. The request's values replace those of the image."""

    image: str
    """The reference as the caller wrote it."""
    image_id: ImageId
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    """``NAME=value``, the image's first; a name stands once."""
    working_dir: str = ""
    user: str = ""
    hostname: str = ""
    domainname: str = ""
    labels: dict[str, str] = {}
    exposed_ports: tuple[str, ...] = ()
    healthcheck: Healthcheck | None = None
    shell: tuple[str, ...] = ()
    """The shell for a check of the kind CMD-SHELL; empty for the default."""
    tty: bool = False
    console_size: tuple[int, int] = (0, 0)
    """Height and width of the terminal at the start, in characters; zeros if unknown."""
    open_stdin: bool = False
    stdin_once: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    stop_signal: str = DEFAULT_STOP_SIGNAL
    stop_timeout_s: int | None = None
    """None: Docker's ten seconds."""

    binds: tuple[Bind, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    network_mode: str = DEFAULT_NETWORK
    """``none``, ``host``, ``container:ID``, or the name of the network that the first interface
    leads to."""
    networks: tuple[Membership, ...] = ()
    """The requested places in networks; that of the mode needs none."""
    links: tuple[str, ...] = ()
    """``ID:NAME:ALIAS``, within the default network."""
    ports: tuple[PortBinding, ...] = ()
    publish_all: bool = False
    mac_address: str = ""
    """The address requested beside the networks; the mode's network has it, too."""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    resources: Resources = Resources()
    ulimits: tuple[Ulimit, ...] = ()
    shm_bytes: int = DEFAULT_SHM_BYTES
    read_only: bool = False
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    group_add: tuple[str, ...] = ()
    sysctls: dict[str, str] = {}
    oom_score_adj: int = 0
    no_new_privileges: bool = False
    seccomp: str = ""
    """Empty: the default profile; ``unconfined``; otherwise an OCI seccomp object as JSON."""
    init: bool = False
    auto_remove: bool = False
    restart_policy: RestartPolicy = RestartPolicy()
    container_id_file: str = ""

    pid_mode: str = ""
    """Empty for a namespace of its own, ``host``, or ``container:ID``."""
    ipc_mode: str = "private"
    """``private``, ``shareable``, ``none``, ``host``, or ``container:ID``."""
    uts_mode: str = ""
    cgroupns_mode: str = "private"
    userns_mode: str = ""
    network_disabled: bool = False
    masked_paths: tuple[str, ...] | None = None
    """None: the default ones, and none for a privileged container."""
    readonly_paths: tuple[str, ...] | None = None
    security_options: tuple[str, ...] = ()
    """The options as requested; their meaning is in other fields."""
    writable_cgroups: bool = False
    annotations: dict[str, str] = {}
    log: LogConfig = LogConfig()
    volumes: tuple[str, ...] = ()
    """Paths that were declared to be volumes."""
    volumes_from: tuple[str, ...] = ()
    """As requested; the mounts themselves are in ``binds`` and ``tmpfs``."""
    volume_driver: str = ""
    runtime: str = ""
    """As requested; there is only one."""
    isolation: str = ""
    on_build: tuple[str, ...] = ()
    args_escaped: bool = False
    """These two change nothing here; images that are made of the container inherit them."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """Return what the first process is executed with."""
        return (*self.entrypoint, *self.command)


def normal_capability(name: str) -> str:
    """Return a capability as the kernel's headers write it; ``ALL`` stays."""
    upper = name.upper()
    return upper if upper == "ALL" or upper.startswith("CAP_") else f"CAP_{upper}"


def capabilities(spec: Spec) -> tuple[str, ...]:
    """Return the capabilities of a container's processes, in the order of their numbers.

    ``ALL`` counts before single names; a name both added and dropped is dropped, unless ``ALL`` was
    dropped, as Docker does it.
    """
    if spec.privileged:
        return ALL_CAPABILITIES
    added = {normal_capability(name) for name in spec.cap_add}
    dropped = {normal_capability(name) for name in spec.cap_drop}
    if "ALL" in added:
        chosen = set(ALL_CAPABILITIES) - dropped
    elif "ALL" in dropped:
        chosen = added
    else:
        chosen = (set(DEFAULT_CAPABILITIES) | added) - dropped
    return tuple(name for name in ALL_CAPABILITIES if name in chosen)


def merged_env(*layers: Sequence[str]) -> tuple[str, ...]:
    """Merge environments: a later ``NAME=value`` replaces an earlier one in its place.

    A bare ``NAME`` removes the variable, as Docker's clients use it for one that is not set on
    their side.
    """
    merged: dict[str, str] = {}
    for variable in (variable for layer in layers for variable in layer):
        name, separator, _ = variable.partition("=")
        if separator:
            merged[name] = variable
        else:
            merged.pop(name, None)
    return tuple(merged.values())
