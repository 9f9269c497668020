"""Find which namespaces a container shares with the host (``host``) or with another container
(``container:ID``).

The *owner* is the container whose namespace it is, the *joiner* the one that is started in it.
Refusals have Docker's messages.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final, Protocol

from engine.domain.container.spec import Spec
from engine.domain.ids import ContainerId
from engine.errors import Conflict

HOST: Final = "host"
PRIVATE: Final = "private"
SHAREABLE: Final = "shareable"
NONE: Final = "none"
_CONTAINER: Final = "container:"


class Shared(StrEnum):
    """A kind of namespace that containers may share, by its name in the OCI runtime
    specification.
    """

    PID = "pid"
    IPC = "ipc"
    NETWORK = "network"


_PREFIX: Final[Mapping[Shared, str]] = {
    Shared.PID: "",
    Shared.IPC: "can't join IPC of container {owner}: ",
    Shared.NETWORK: "",
}
_WORD: Final[Mapping[Shared, str]] = {
    Shared.PID: "PID",
    Shared.IPC: "IPC",
    Shared.NETWORK: "network",
}


class Owner(Protocol):
    """A container whose namespace others join, as far as that matters."""

    @property
    def spec(self) -> Spec:
        """Return what was asked for when it was created."""

    @property
    def is_gone(self) -> bool:
        """Return whether it is removed or dead."""

    @property
    def is_running(self) -> bool:
        """Return whether it has a process."""

    @property
    def is_restarting(self) -> bool:
        """Return whether it waits for its next run."""


def with_container(container: str) -> str:
    """Return the mode that shares a container's namespace."""
    return f"{_CONTAINER}{container}"


def is_with_container(mode: str) -> bool:
    """Return whether a mode names a container."""
    return mode.startswith(_CONTAINER)


def namespace_owner(mode: str) -> ContainerId | None:
    """Return the container whose namespace a mode shares; None if it shares none."""
    return ContainerId(mode.removeprefix(_CONTAINER)) if is_with_container(mode) else None


def joined_namespaces(spec: Spec) -> Iterator[tuple[Shared, ContainerId]]:
    """Return which namespaces a container joins, and their owners."""
    modes = (
        (Shared.PID, spec.pid_mode),
        (Shared.IPC, spec.ipc_mode),
        (Shared.NETWORK, spec.network_mode),
    )
    for kind, mode in modes:
        if owner := namespace_owner(mode):
            yield kind, owner


def offers_ipc(spec: Spec) -> bool:
    """Return whether others may join its IPC namespace, and its shared memory with it."""
    return spec.ipc_mode not in ("", PRIVATE, NONE)


def owns_pid_namespace(spec: Spec) -> bool:
    """Return whether all processes of a container end with its first one, pid_namespaces(7)."""
    return not spec.pid_mode


def has_pid_namespace(spec: Spec) -> bool:
    """Whether a container is in a PID namespace other than the host's: its own or another's."""
    return owns_pid_namespace(spec) or namespace_owner(spec.pid_mode) is not None


def check_joinable(kind: Shared, owner: ContainerId, container: Owner | None) -> None:
    """Refuse a namespace that can't be joined now.

    Args:
        kind: of namespace.
        owner: whose it is.
        container: the owner as it is known; None when there is none any more.

    Raises:
        Conflict: it is gone, does not run, waits for its restart, or keeps its IPC namespace for
            itself.
    """
    if container is None or container.is_gone:
        raise Conflict(
            f"cannot join {_WORD[kind]} of a non running container: {owner}: "
            f"No such container: {owner}"
        )
    prefix = _PREFIX[kind].format(owner=owner)
    if container.is_restarting:
        raise Conflict(
            f"{prefix}Container {owner} is restarting, wait until the container is running"
        )
    if not container.is_running and kind is Shared.NETWORK:
        raise Conflict(f"cannot join network of a non running container: {owner}")
    if not container.is_running:
        raise Conflict(f"{prefix}container {owner} is not running")
    if kind is Shared.IPC and not offers_ipc(container.spec):
        raise Conflict(
            f"{prefix}non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
        )
