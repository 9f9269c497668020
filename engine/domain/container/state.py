"""Define what a container is at any moment. How it changes is in ``evolution.py``, its phases are
in ``phases.py``.

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

from engine.domain.container.attachment import Endpoint
from engine.domain.container.events import (
    ExitReason,
    Order,
    OrderKind,
    ProcessIdentity,
    Stopping,
)
from engine.domain.container.health import Health
from engine.domain.container.phases import HAS_PROCESS, Phase
from engine.domain.container.spec import Membership, PortBinding, Spec
from engine.domain.container.update import Refusal
from engine.domain.ids import SHORT, ContainerId, ImageId, NetworkId, SandboxId
from engine.domain.signals import parse_signal

LASTING: Final = frozenset({OrderKind.UPDATE, OrderKind.CONNECT, OrderKind.DISCONNECT})
"""Orders that outlast the run they were given in."""
_HOLDS_ENDPOINTS: Final = frozenset({Phase.STARTING, *HAS_PROCESS})


class Container(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A container, computed from its events."""

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
    """A user ended the last run: restart policies do not apply."""
    restarts: int = 0
    restart_due_boot_ns: int = 0
    restart_delay_s: float = 0.0
    start_again: bool = False
    """The second half of a requested restart is due."""
    refusals: tuple[Refusal, ...] = ()
    """The last updates and connects that failed."""
    attachments: tuple[str, ...] = ()
    health: Health | None = None
    """None: there is no check, or it has never run."""
    drift: tuple[str, ...] = ()
    """Damage that was found and is not repaired yet."""
    is_unreadable: bool = False
    """The history or the stored state can't be read; these fields are all that is known."""

    @property
    def short_id(self) -> str:
        """Return the beginning of the ID, for people."""
        return self.id[:SHORT]

    @property
    def pending_updates(self) -> tuple[Order, ...]:
        """Return the updates that are not done yet."""
        return tuple(order for order in self.orders if order.kind is OrderKind.UPDATE)

    @property
    def lasting_orders(self) -> tuple[Order, ...]:
        """Return the orders that are not done yet and outlast the run."""
        return tuple(order for order in self.orders if order.kind in LASTING)

    @property
    def holds_endpoints(self) -> bool:
        """Return whether its addresses and ports are reserved: from the decision to start it until
        its process has ended.
        """
        return self.phase in _HOLDS_ENDPOINTS or self.process is not None

    @property
    def desired_endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints that should exist: without those that are to be disconnected."""
        going = {order.network for order in self.orders if order.kind is OrderKind.DISCONNECT}
        return tuple(each for each in self.endpoints if each.network not in going)

    @property
    def is_gone(self) -> bool:
        """Return whether it can only be removed."""
        return self.phase in (Phase.REMOVED, Phase.DEAD)

    @property
    def is_running(self) -> bool:
        """Return whether it runs in Docker's sense: it has a process, frozen or not."""
        return self.phase in HAS_PROCESS

    @property
    def is_restarting(self) -> bool:
        """Return whether it restarts in Docker's sense: its policy's next run is due, or is being
        started.
        """
        return self.phase is Phase.RESTARTING or (
            self.phase is Phase.STARTING and bool(self.restarts)
        )


def unreadable_container(identity: ContainerId, last: Container | None, reason: str) -> Container:
    """Return the container for a stored row that can't be read: dead, until it is removed.

    Args:
        identity: which one.
        last: what was known of it before that row.
        reason: for people.
    """
    nothing_known = Spec(image="", image_id=ImageId(""))
    known = last or Container(id=identity, name=identity[:SHORT], spec=nothing_known, created_ns=0)
    return replace(known, phase=Phase.DEAD, error=reason, is_unreadable=True)


def is_ending(container: Container, signal: int) -> bool:
    """Return whether a signal asks the run to end: then restart policies do not apply."""
    usual = (Signals.SIGKILL, Signals.SIGTERM, Signals.SIGINT)
    return signal in usual or signal == parse_signal(container.spec.stop_signal)


def is_in(membership: Membership, network: NetworkId, name: str) -> bool:
    """Return whether a membership is in that network; one that was requested by a name has no
    ID.
    """
    return membership.network == network or (not membership.network and membership.name == name)
