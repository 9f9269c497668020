"""Decide connects and disconnects: (state, command) → events, or a refusal with Docker's
message.
"""

from engine.domain.container.attachment import (
    Connected,
    ConnectRequested,
    Disconnected,
    DisconnectRequested,
    Endpoint,
)
from engine.domain.container.namespace_sharing import HOST, NONE, is_with_container
from engine.domain.container.phases import NAMELESS, Phase
from engine.domain.container.spec import Membership
from engine.domain.container.state import Container, is_in
from engine.domain.event import Event
from engine.domain.network.state import Network
from engine.errors import Conflict, EngineError, Forbidden, InvalidRequest, Kind


class NotConnected(EngineError):
    """The container is not in the network that it should leave."""

    kind = Kind.INTERNAL


def check_connectable(container: Container, network: Network) -> None:
    """Refuse a container or a network that can't be connected, before an address is chosen.

    Raises:
        InvalidRequest: its namespace is not its own, or it is to have no network.
        Forbidden: it is in that network already.
        Conflict: it is being removed.
    """
    _check_movable(container)
    mode = container.spec.network_mode
    if network.driver == HOST:
        raise InvalidRequest(
            "container cannot be disconnected from host network or connected to host network"
        )
    if mode == HOST or is_with_container(mode):
        raise InvalidRequest(
            "container sharing network namespace with another container or host"
            " cannot be connected to any other network"
        )
    if mode == NONE or not network.bridge:
        raise InvalidRequest(
            "container cannot be connected to multiple networks"
            " with one of the networks in private (none) mode"
        )
    if any(is_in(each, network.id, network.name) for each in container.networks):
        raise Forbidden(
            f"endpoint with name {container.name} already exists in network {network.name}"
        )


def decide_connect(
    container: Container, membership: Membership, endpoint: Endpoint | None
) -> tuple[Event, ...]:
    """Return what ``POST /networks/{id}/connect`` adds to the log. Call this when no start is under
    way.

    Args:
        container: one that :func:`check_connectable` has let pass.
        membership: with the network's ID.
        endpoint: what it gets in the network now; None when it does not run.
    """
    assert container.phase is not Phase.STARTING
    assert membership.network
    number = container.orders_given + 1
    requested = ConnectRequested(order=number, membership=membership, endpoint=endpoint)
    return (requested,) if container.is_running else (requested, Connected(order=number))


def decide_disconnect(container: Container, network: Network, *, force: bool) -> tuple[Event, ...]:
    """Return what ``POST /networks/{id}/disconnect`` adds to the log. Call this when no start is
    under way.

    Raises:
        NotConnected: it is not in there.
        InvalidRequest: the network is the host's, which a container can't leave.
        Conflict: it is being removed.
    """
    assert container.phase is not Phase.STARTING
    _check_movable(container)
    if network.driver == HOST:
        raise InvalidRequest(
            "container cannot be disconnected from host network or connected to host network"
        )
    if not any(is_in(each, network.id, network.name) for each in container.networks):
        place = "network" if container.is_running else "the network"  # Docker's words
        raise NotConnected(f"container {container.id} is not connected to {place} {network.name}")
    number = container.orders_given + 1
    requested = DisconnectRequested(
        order=number, network=network.id, name=network.name, force=force
    )
    return (requested,) if container.is_running else (requested, Disconnected(order=number))


def _check_movable(container: Container) -> None:
    if container.phase in NAMELESS:
        raise Conflict(
            f"Container {container.id} is marked for removal"
            " and cannot be connected or disconnected to the network"
        )
