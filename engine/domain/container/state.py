"""A container: what its state is, and how that follows from its events. Its phases, with their
drawing, are in ``phases.py``.

What is to be done to a running container are *orders*: numbered signals, pauses, updates,
connections to networks, carried out one after the other, each once. A signal that the end of the
container overtakes is named in ``Exited.superseded``; what would also have held for the next run
holds then.

A *run* is one start of the container; outcomes carry no run number because a run's journal is a
file of its own.
"""

from signal import Signals
from typing import Final

import msgspec
from msgspec.structs import replace

from engine.domain.container import health as checks
from engine.domain.container.attachment import EVENTS as MEMBERSHIPS
from engine.domain.container.attachment import (
    Connected,
    ConnectFailed,
    ConnectRequested,
    Disconnected,
    DisconnectRequested,
    Endpoint,
    initial_memberships,
)
from engine.domain.container.audit_events import EVENTS as USES
from engine.domain.container.events import (
    AttachClosed,
    AttachOpened,
    Created,
    DriftDetected,
    DriftRepaired,
    Exited,
    ExitReason,
    LogLost,
    Order,
    OrderKind,
    OutOfMemory,
    Paused,
    PauseRequested,
    ProcessIdentity,
    Removed,
    RemoveFailed,
    RemoveRequested,
    Renamed,
    RestartScheduled,
    Signalled,
    SignalRequested,
    Started,
    StartFailed,
    StartRequested,
    Stopping,
    StopRequested,
    Unpaused,
    UnpauseRequested,
)
from engine.domain.container.health import Health, HealthChanged
from engine.domain.container.phases import HAS_PROCESS, TRANSITIONS, Phase
from engine.domain.container.spec import Membership, PortBinding, Spec
from engine.domain.container.update import (
    REFUSALS_MAX,
    Refusal,
    Updated,
    UpdateFailed,
    UpdateRequested,
    updated,
)
from engine.domain.event import Event
from engine.domain.ids import SHORT, ContainerId, ImageId, NetworkId, SandboxId
from engine.domain.signals import parse_signal

_SECOND_NS: Final = 1_000_000_000


LASTING: Final = frozenset({OrderKind.UPDATE, OrderKind.CONNECT, OrderKind.DISCONNECT})
_HOLDS_ENDPOINTS: Final = frozenset({Phase.STARTING, *HAS_PROCESS})


# --- State ---


class Container(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A container as its history tells it."""

    id: ContainerId
    name: str
    spec: Spec
    created_ns: int
    phase: Phase = Phase.CREATED
    run: int = 0
    sandbox: SandboxId | None = None
    sandbox_before: SandboxId | None = None
    """The last run's, while a start is under way: it may not be gone yet."""
    networks: tuple[Membership, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    """Of the present run or the last one."""
    ports: tuple[PortBinding, ...] = ()
    process: ProcessIdentity | None = None
    monitor: ProcessIdentity | None = None
    started_ns: int = 0
    """Wall clock; 0: never."""
    started_boot_ns: int = 0
    finished_ns: int = 0
    exits: int = 0
    """How many runs have ended; a start that failed is none."""
    exit_code: int = 0
    exit_reason: ExitReason | None = None
    oom_killed: bool = False
    oom_kills: int = 0
    log_lost_bytes: int = 0
    error: str = ""
    orders_given: int = 0
    orders: tuple[Order, ...] = ()
    stopping: Stopping | None = None
    user_stopped: bool = False
    """Somebody wanted the last run to end: restart policies keep out."""
    restarts: int = 0
    restart_due_boot_ns: int = 0
    restart_delay_s: float = 0.0
    start_again: bool = False
    """A restart was asked for and its second half is due."""
    refusals: tuple[Refusal, ...] = ()
    """Of the last updates and connects that failed."""
    attachments: tuple[str, ...] = ()
    health: Health | None = None
    """None: there is no check, or it has never run."""
    drift: tuple[str, ...] = ()
    """What was found changed and is not yet repaired."""
    is_unreadable: bool = False
    """Its history or its stored state can't be read; what is here is all that is known of it."""

    @property
    def short_id(self) -> str:
        """For people."""
        return self.id[:SHORT]

    @property
    def pending_updates(self) -> tuple[Order, ...]:
        """Updates asked for and not yet done."""
        return tuple(order for order in self.orders if order.kind is OrderKind.UPDATE)

    @property
    def lasting_orders(self) -> tuple[Order, ...]:
        """Those not yet done that outlast the run."""
        return tuple(order for order in self.orders if order.kind in LASTING)

    @property
    def holds_endpoints(self) -> bool:
        """Whether its addresses and ports are its own: from the decision to start it until its
        process has ended.
        """
        return self.phase in _HOLDS_ENDPOINTS or self.process is not None

    @property
    def wanted_endpoints(self) -> tuple[Endpoint, ...]:
        """Those that there should be: without the ones that somebody wants to go."""
        going = {order.network for order in self.orders if order.kind is OrderKind.DISCONNECT}
        return tuple(each for each in self.endpoints if each.network not in going)

    @property
    def is_gone(self) -> bool:
        """Whether nothing can be asked of it any more but to be removed."""
        return self.phase in (Phase.REMOVED, Phase.DEAD)

    @property
    def is_running(self) -> bool:
        """In Docker's sense: it has a process, frozen or not."""
        return self.phase in HAS_PROCESS

    @property
    def is_restarting(self) -> bool:
        """In Docker's sense: its policy's next run has not begun, whether it waits or is being
        made.
        """
        return self.phase is Phase.RESTARTING or (
            self.phase is Phase.STARTING and bool(self.restarts)
        )


def unreadable_container(identity: ContainerId, last: Container | None, reason: str) -> Container:
    """A container of which a stored row can't be read: dead, until somebody removes it.

    Args:
        identity: which one.
        last: what was known of it before that row.
        reason: for people.
    """
    nothing_known = Spec(image="", image_id=ImageId(""))
    known = last or Container(id=identity, name=identity[:SHORT], spec=nothing_known, created_ns=0)
    return replace(known, phase=Phase.DEAD, error=reason, is_unreadable=True)


def is_ending(container: Container, signal: int) -> bool:
    """Whether who sends this signal wants the run to end: then restart policies keep out."""
    usual = (Signals.SIGKILL, Signals.SIGTERM, Signals.SIGINT)
    return signal in usual or signal == parse_signal(container.spec.stop_signal)


def evolve(container: Container | None, event: Event, at_ns: int) -> Container:
    """The container after one more event, which happened at ``at_ns`` (wall clock).

    Never refuses: it has already happened. A KeyError or AssertionError means that the log is
    corrupt.
    """
    if container is None:
        assert isinstance(event, Created)
        return Container(
            id=event.id,
            name=event.name,
            spec=event.spec,
            created_ns=at_ns,
            networks=initial_memberships(event.spec),
        )
    if container.is_unreadable and isinstance(event, RemoveRequested):
        return replace(container, phase=Phase.REMOVING, is_unreadable=False, error="")
    phase = TRANSITIONS[container.phase][type(event)]
    return _changed(replace(container, phase=phase), event, at_ns)


def _changed(container: Container, event: Event, at_ns: int) -> Container:
    match event:
        case StartRequested():
            return _start_requested(container, event)
        case Started():
            return _started(container, event, at_ns)
        case StartFailed(message=message, exit_code=code):
            return replace(_ended(container, at_ns), exit_code=code, error=message)
        case Exited():
            return _exited(container, event, at_ns)
        case StopRequested():
            return _stop_requested(container, event)
        case SignalRequested():
            return _signal_requested(container, event)
        case PauseRequested(order=number):
            return _ordered(container, Order(number=number, kind=OrderKind.PAUSE))
        case UnpauseRequested(order=number):
            return _ordered(container, Order(number=number, kind=OrderKind.UNPAUSE))
        case UpdateRequested(order=number):
            return _ordered(container, Order(number=number, kind=OrderKind.UPDATE, update=event))
        case Updated(order=number):
            return _updated(container, number)
        case UpdateFailed(order=number, reason=reason):
            return _refused(container, Refusal(order=number, reason=reason))
        case _ if isinstance(event, MEMBERSHIPS):
            return _moved(container, event)
        case Paused(order=number):
            return replace(_done(container, number), health=checks.standing_still(container.health))
        case Signalled(order=number) | Unpaused(order=number):
            return _done(container, number)
        case _:
            return _remarked(container, event)


def _updated(container: Container, number: int) -> Container:
    (request,) = (order.update for order in container.orders if order.number == number)
    assert request is not None
    return replace(_done(container, number), spec=updated(container.spec, request))


def _moved(container: Container, event: Event) -> Container:
    """The events that change which networks it is in."""
    match event:
        case ConnectRequested(order=number, membership=membership, endpoint=endpoint):
            joined = replace(
                container,
                networks=(*container.networks, membership),
                endpoints=(*container.endpoints, *([endpoint] if endpoint else ())),
            )
            network = NetworkId(membership.network)
            order = Order(number=number, kind=OrderKind.CONNECT, network=network)
            return _ordered(joined, order)
        case DisconnectRequested(order=number, network=network, name=name):
            left = tuple(each for each in container.networks if not is_in(each, network, name))
            order = Order(number=number, kind=OrderKind.DISCONNECT, network=network)
            return _ordered(replace(container, networks=left), order)
        case Connected(order=number):
            return _done(container, number)
        case Disconnected(order=number):
            return _without_endpoint(_done(container, number), _network_of(container, number))
        case _:
            assert isinstance(event, ConnectFailed)
            return _not_connected(container, event)


def _not_connected(container: Container, event: ConnectFailed) -> Container:
    network = _network_of(container, event.order)
    left = tuple(each for each in container.networks if each.network != network)
    refusal = Refusal(order=event.order, reason=event.reason)
    return _refused(_without_endpoint(replace(container, networks=left), network), refusal)


def is_in(membership: Membership, network: NetworkId, name: str) -> bool:
    """Whether a membership is in that network; one that was asked for by a name has no ID."""
    return membership.network == network or (not membership.network and membership.name == name)


def _network_of(container: Container, number: int) -> NetworkId | None:
    (network,) = (order.network for order in container.orders if order.number == number)
    return network


def _without_endpoint(container: Container, network: NetworkId | None) -> Container:
    return replace(
        container,
        endpoints=tuple(each for each in container.endpoints if each.network != network),
    )


def _refused(container: Container, refusal: Refusal) -> Container:
    refusals = (*container.refusals, refusal)[-REFUSALS_MAX:]
    return replace(_done(container, refusal.order), refusals=refusals)


def _remarked(container: Container, event: Event) -> Container:
    """The events that touch one field and no process."""
    match event:
        case Renamed(name=name):
            return replace(container, name=name)
        case AttachOpened(attach=attach):
            return replace(container, attachments=(*container.attachments, attach))
        case AttachClosed(attach=attach):
            open_still = tuple(other for other in container.attachments if other != attach)
            return replace(container, attachments=open_still)
        case OutOfMemory(count=count):
            return replace(container, oom_kills=count)
        case LogLost(count_bytes=count_bytes):
            return replace(container, log_lost_bytes=count_bytes)
        case HealthChanged():
            return replace(container, health=checks.changed(event))
        case RestartScheduled(due_boot_ns=due_boot_ns, delay_s=delay_s):
            return replace(container, restart_due_boot_ns=due_boot_ns, restart_delay_s=delay_s)
        case RemoveRequested():
            return replace(container, start_again=False, restart_due_boot_ns=0)
        case RemoveFailed(reason=reason):
            return replace(container, error=reason)
        case DriftDetected(what=what):
            return replace(container, drift=(*container.drift, what))
        case DriftRepaired(what=what):
            return replace(
                container, drift=tuple(other for other in container.drift if other != what)
            )
        case _:
            assert isinstance(event, (Removed, *USES)), event
            return container


def _start_requested(container: Container, event: StartRequested) -> Container:
    by_policy = bool(container.restart_due_boot_ns)
    return replace(
        container,
        run=event.run,
        sandbox=event.sandbox,
        sandbox_before=container.sandbox,
        networks=_found(container.networks, event.endpoints),
        endpoints=event.endpoints,
        ports=event.ports,
        oom_killed=False,
        oom_kills=0,
        log_lost_bytes=0,
        error="",
        exit_reason=None,
        user_stopped=False,
        start_again=False,
        restarts=container.restarts + 1 if by_policy else 0,
        restart_delay_s=container.restart_delay_s if by_policy else 0.0,
        restart_due_boot_ns=0,
    )


def _found(
    memberships: tuple[Membership, ...], endpoints: tuple[Endpoint, ...]
) -> tuple[Membership, ...]:
    """The wishes, each with the network that it has led to."""
    ids = {endpoint.name: endpoint.network for endpoint in endpoints}
    return tuple(replace(each, network=ids.get(each.name, each.network)) for each in memberships)


def _started(container: Container, event: Started, at_ns: int) -> Container:
    return replace(
        container,
        sandbox_before=None,
        process=event.process,
        monitor=event.monitor,
        started_ns=at_ns,
        started_boot_ns=event.boot_ns,
        exit_code=0,
        health=_fresh_health(container),
    )


def _fresh_health(container: Container) -> Health | None:
    is_checked = checks.is_checked(container.spec.healthcheck)
    return checks.begun_anew(container.health) if is_checked else None


def _exited(container: Container, event: Exited, at_ns: int) -> Container:
    again = bool(container.stopping and container.stopping.then_start)
    ended = _ended(container, at_ns)
    return replace(
        ended,
        exits=container.exits + 1,
        exit_code=event.code,
        exit_reason=event.reason,
        oom_killed=event.oom,
        orders=container.lasting_orders,
        start_again=again and event.reason is not ExitReason.REBOOT,
    )


def _ended(container: Container, at_ns: int) -> Container:
    return replace(
        container,
        finished_ns=at_ns,
        process=None,
        monitor=None,
        orders=(),
        stopping=None,
        drift=(),
        health=checks.standing_still(container.health),
    )


def _stop_requested(container: Container, event: StopRequested) -> Container:
    deadline_boot_ns = event.boot_ns + event.timeout_s * _SECOND_NS
    stopped = replace(container, user_stopped=True, restart_due_boot_ns=0)
    if (
        container.phase is Phase.EXITED
    ):  # it was waiting to be restarted: there is nothing to signal
        return replace(stopped, start_again=event.then_start)
    stopping = Stopping(
        deadline_boot_ns=deadline_boot_ns if event.timeout_s >= 0 else None,
        then_start=event.then_start,
    )
    return _ordered(
        replace(stopped, stopping=stopping),
        Order(number=event.order, kind=OrderKind.SIGNAL, signal=event.signal),
    )


def _signal_requested(container: Container, event: SignalRequested) -> Container:
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


def _done(container: Container, number: int) -> Container:
    remaining = tuple(order for order in container.orders if order.number != number)
    return replace(container, orders=remaining)


def _ordered(container: Container, order: Order) -> Container:
    return replace(container, orders=(*container.orders, order), orders_given=order.number)
