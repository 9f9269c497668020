"""Change a container by its orders: signals, pauses, updates, connections to networks.

A request adds an order with its number; the outcome takes it away.
"""

from signal import Signals
from typing import Final

from msgspec.structs import replace

from engine.domain.container.attachment import (
    Connected,
    ConnectFailed,
    ConnectRequested,
    Disconnected,
    DisconnectRequested,
)
from engine.domain.container.events import (
    Order,
    OrderKind,
    Paused,
    PauseRequested,
    Signalled,
    SignalRequested,
    Stopping,
    StopRequested,
    Unpaused,
    UnpauseRequested,
)
from engine.domain.container.health import standing_still
from engine.domain.container.phases import Phase
from engine.domain.container.state import Container, is_ending, is_in
from engine.domain.container.update import (
    REFUSALS_MAX,
    Refusal,
    Updated,
    UpdateFailed,
    UpdateRequested,
)
from engine.domain.container.update import updated as updated_spec
from engine.domain.ids import NetworkId

_SECOND_NS: Final = 1_000_000_000


# --- Stop and signals ---


def stop_requested(container: Container, event: StopRequested) -> Container:
    """Order the stop signal, with the deadline after which SIGKILL follows."""
    deadline_boot_ns = event.boot_ns + event.timeout_s * _SECOND_NS
    stopped = replace(container, user_stopped=True, restart_due_boot_ns=0)
    if container.phase is Phase.EXITED:  # it waited for its restart: there is nothing to signal
        return replace(stopped, start_again=event.then_start)
    stopping = Stopping(
        deadline_boot_ns=deadline_boot_ns if event.timeout_s >= 0 else None,
        then_start=event.then_start,
    )
    return _ordered(
        replace(stopped, stopping=stopping),
        Order(number=event.order, kind=OrderKind.SIGNAL, signal=event.signal),
    )


def signal_requested(container: Container, event: SignalRequested) -> Container:
    """Order a signal; after SIGKILL a stop has no deadline any more."""
    order = Order(number=event.order, kind=OrderKind.SIGNAL, signal=event.signal)
    stopping = container.stopping
    if stopping is not None and event.signal == Signals.SIGKILL:
        stopping = replace(stopping, deadline_boot_ns=None)
    return _ordered(
        replace(
            container,
            user_stopped=container.user_stopped or is_ending(container, event.signal),
            stopping=stopping,
        ),
        order,
    )


def signalled(container: Container, event: Signalled) -> Container:
    """Take the signal's order away."""
    return _done(container, event.order)


# --- Pauses ---


def pause_requested(container: Container, event: PauseRequested) -> Container:
    """Order a pause."""
    return _ordered(container, Order(number=event.order, kind=OrderKind.PAUSE))


def paused(container: Container, event: Paused) -> Container:
    """Take the pause's order away; health checks stop meanwhile."""
    return replace(_done(container, event.order), health=standing_still(container.health))


def unpause_requested(container: Container, event: UnpauseRequested) -> Container:
    """Order the end of a pause."""
    return _ordered(container, Order(number=event.order, kind=OrderKind.UNPAUSE))


def unpaused(container: Container, event: Unpaused) -> Container:
    """Take the order away."""
    return _done(container, event.order)


# --- Updates ---


def update_requested(container: Container, event: UpdateRequested) -> Container:
    """Order an update."""
    return _ordered(container, Order(number=event.order, kind=OrderKind.UPDATE, update=event))


def updated(container: Container, event: Updated) -> Container:
    """Put the update that was ordered into the spec."""
    (request,) = (order.update for order in container.orders if order.number == event.order)
    assert request is not None
    return replace(_done(container, event.order), spec=updated_spec(container.spec, request))


def update_failed(container: Container, event: UpdateFailed) -> Container:
    """Keep the reason for the caller who waits."""
    return _refused(container, Refusal(order=event.order, reason=event.reason))


# --- Networks ---


def connect_requested(container: Container, event: ConnectRequested) -> Container:
    """Add the membership, and the endpoint if the container runs, and order the connection."""
    joined = replace(
        container,
        networks=(*container.networks, event.membership),
        endpoints=(*container.endpoints, *([event.endpoint] if event.endpoint else ())),
    )
    network = NetworkId(event.membership.network)
    return _ordered(joined, Order(number=event.order, kind=OrderKind.CONNECT, network=network))


def connected(container: Container, event: Connected) -> Container:
    """Take the order away."""
    return _done(container, event.order)


def connect_failed(container: Container, event: ConnectFailed) -> Container:
    """Take membership and endpoint away again, and keep the reason."""
    network = _network_of(container, event.order)
    left = tuple(each for each in container.networks if each.network != network)
    refusal = Refusal(order=event.order, reason=event.reason)
    return _refused(_without_endpoint(replace(container, networks=left), network), refusal)


def disconnect_requested(container: Container, event: DisconnectRequested) -> Container:
    """Take the membership away, and order the end of the connection."""
    left = tuple(each for each in container.networks if not is_in(each, event.network, event.name))
    order = Order(number=event.order, kind=OrderKind.DISCONNECT, network=event.network)
    return _ordered(replace(container, networks=left), order)


def disconnected(container: Container, event: Disconnected) -> Container:
    """Take order and endpoint away."""
    network = _network_of(container, event.order)
    return _without_endpoint(_done(container, event.order), network)


def _network_of(container: Container, number: int) -> NetworkId | None:
    (network,) = (order.network for order in container.orders if order.number == number)
    return network


def _without_endpoint(container: Container, network: NetworkId | None) -> Container:
    return replace(
        container,
        endpoints=tuple(each for each in container.endpoints if each.network != network),
    )


# --- Orders in general ---


def _ordered(container: Container, order: Order) -> Container:
    return replace(container, orders=(*container.orders, order), orders_given=order.number)


def _done(container: Container, number: int) -> Container:
    remaining = tuple(order for order in container.orders if order.number != number)
    return replace(container, orders=remaining)


def _refused(container: Container, refusal: Refusal) -> Container:
    refusals = (*container.refusals, refusal)[-REFUSALS_MAX:]
    return replace(_done(container, refusal.order), refusals=refusals)
