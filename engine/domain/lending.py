"""Whether a container can lend a namespace to another one. The words of a refusal are Docker's."""

from collections.abc import Mapping
from typing import Final

from engine.domain.container import Container
from engine.domain.ids import ContainerId
from engine.domain.phases import Phase
from engine.domain.sharing import Shared, lends_ipc
from engine.errors import Conflict

_PREFIX: Final[Mapping[Shared, str]] = {
    Shared.PID: "",
    Shared.IPC: "can't join IPC of container {lender}: ",
    Shared.NETWORK: "",
}
_WORD: Final[Mapping[Shared, str]] = {
    Shared.PID: "PID",
    Shared.IPC: "IPC",
    Shared.NETWORK: "network",
}


def check_lender(kind: Shared, lender: ContainerId, container: Container | None) -> None:
    """Refuse what can't be joined now.

    Args:
        kind: of namespace.
        lender: whose it is.
        container: the lender as it is known; None when there is none any more.

    Raises:
        Conflict: it is gone, does not run, waits for its restart, or keeps its IPC namespace for itself.
    """
    if container is None or container.phase in (Phase.REMOVED, Phase.DEAD):
        raise Conflict(
            f"cannot join {_WORD[kind]} of a non running container: {lender}: "
            f"No such container: {lender}"
        )
    prefix = _PREFIX[kind].format(lender=lender)
    if container.is_restarting:
        raise Conflict(
            f"{prefix}Container {lender} is restarting, wait until the container is running"
        )
    if not container.is_running and kind is Shared.NETWORK:
        raise Conflict(f"cannot join network of a non running container: {lender}")
    if not container.is_running:
        raise Conflict(f"{prefix}container {lender} is not running")
    if kind is Shared.IPC and not lends_ipc(container.spec):
        raise Conflict(
            f"{prefix}non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
        )
