"""Namespaces that a container does not have for itself, in Docker's words: ``host`` and ``container:ID``."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from engine.domain.ids import ContainerId
from engine.domain.spec import Spec

HOST: Final = "host"
PRIVATE: Final = "private"
SHAREABLE: Final = "shareable"
NONE: Final = "none"
_CONTAINER: Final = "container:"


class Shared(StrEnum):
    """A kind of namespace that another container may lend, by its name in the OCI runtime specification."""

    PID = "pid"
    IPC = "ipc"
    NETWORK = "network"


def with_container(container: str) -> str:
    """The mode that shares a container's namespace."""
    return f"{_CONTAINER}{container}"


def is_with_container(mode: str) -> bool:
    """Whether a mode names a container."""
    return mode.startswith(_CONTAINER)


def lender_in(mode: str) -> ContainerId | None:
    """The container whose namespace a mode shares; None when it shares no container's."""
    return ContainerId(mode.removeprefix(_CONTAINER)) if is_with_container(mode) else None


def lenders(spec: Spec) -> Iterator[tuple[Shared, ContainerId]]:
    """Which namespaces a container borrows, and from whom."""
    modes = (
        (Shared.PID, spec.pid_mode),
        (Shared.IPC, spec.ipc_mode),
        (Shared.NETWORK, spec.network_mode),
    )
    for kind, mode in modes:
        if lender := lender_in(mode):
            yield kind, lender


def lends_ipc(spec: Spec) -> bool:
    """Whether others may join its IPC namespace, and its shared memory with it."""
    return spec.ipc_mode not in ("", PRIVATE, NONE)


def owns_pid_namespace(spec: Spec) -> bool:
    """Whether all of a container's processes end with its first, pid_namespaces(7)."""
    return not spec.pid_mode
