"""Plan what to do: (state, observation) → actions. Pure; empty when nothing is to be done.

The plan keeps no history: it compares what the log wants with what was observed. So it is the same
after a request, after a restart of the daemon, and after a change made by another program.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Final

from engine.domain.container.events import Order, OrderKind
from engine.domain.container.namespace_sharing import owns_pid_namespace
from engine.domain.container.phases import Phase
from engine.domain.container.state import Container
from engine.domain.exec.state import Exec, ExecPhase
from engine.ports.actions import (
    Action,
    ApplyLimits,
    Connect,
    Disconnect,
    Freeze,
    KillEverything,
    Launch,
    PrepareCgroup,
    PrepareRun,
    PrepareSandbox,
    PublishPorts,
    RemoveBundle,
    RemoveCgroup,
    RemoveDirectory,
    RemoveSandbox,
    Signal,
    StartExec,
    Thaw,
    UnpublishPorts,
    UpdateFiles,
)
from engine.ports.observation import Observation, Presence

_PREPARATIONS: Final = (PrepareSandbox, PrepareRun)
_REMOVALS: Final = (UnpublishPorts, RemoveSandbox, RemoveCgroup)
"""All of them need the bundle: its presence shows that they are still due."""
_INDEPENDENT: Final[Mapping[type[Action], tuple[type[Action], ...]]] = MappingProxyType(
    {each: together for together in (_PREPARATIONS, _REMOVALS) for each in together}
)
"""Actions that don't need each other's outcome, by each of them."""


def stages(actions: Iterable[Action]) -> Iterator[Sequence[Action]]:
    """Group a plan's actions: those of one group run side by side, the groups one after another."""
    for independent, group in groupby(actions, lambda each: _INDEPENDENT.get(type(each))):
        if independent:
            yield tuple(group)
        else:
            yield from ((action,) for action in group)


def plan(container: Container, execs: Iterable[Exec], observed: Observation) -> tuple[Action, ...]:
    """Return the actions, in order, that bring one container closer to what the log wants."""
    match container.phase:
        case Phase.STARTING:
            return tuple(_start(container, observed))
        case Phase.RUNNING | Phase.PAUSED:
            return tuple(_keep(container, execs, observed))
        case Phase.REMOVING | Phase.DEAD:
            return tuple(_remove(container, observed))
        case Phase.CREATED | Phase.EXITED | Phase.RESTARTING | Phase.REMOVED:
            return tuple(_rest(container, observed))


def _start(container: Container, observed: Observation) -> Iterator[Action]:
    if observed.monitor_alive:  # launched: the journal will report the result
        return
    # of the last run, if the container was restarted at once
    if container.sandbox_before is not None:
        yield RemoveSandbox(container.sandbox_before)
    if container.sandbox is not None and observed.sandbox is not Presence.RIGHT:
        yield PrepareSandbox()
    yield PrepareRun()
    if container.ports:
        yield PublishPorts()
    yield Launch()


def _keep(container: Container, execs: Iterable[Exec], observed: Observation) -> Iterator[Action]:
    if not observed.monitor_alive:
        # without its monitor, its streams are closed and its exit is not seen
        if observed.process_alive:
            yield KillEverything()
        return
    if container.pending_updates and observed.cgroup is not Presence.RIGHT:
        yield PrepareCgroup()  # the cgroup to change must exist
    for order in container.orders:
        yield _carry_out(order)
    if container.phase is Phase.PAUSED and not observed.frozen and not container.orders:
        yield Freeze(order=0)
    if container.sandbox is not None and observed.sandbox is not Presence.RIGHT:
        yield PrepareSandbox()
    if observed.cgroup is not Presence.RIGHT:
        yield PrepareCgroup()
    if observed.files is not Presence.RIGHT:
        yield UpdateFiles()
    for execution in execs:
        if execution.phase is ExecPhase.STARTING:
            yield StartExec(execution)


def _carry_out(order: Order) -> Action:
    match order.kind:
        case OrderKind.SIGNAL:
            return Signal(order.number, order.signal)
        case OrderKind.PAUSE:
            return Freeze(order.number)
        case OrderKind.UNPAUSE:
            return Thaw(order.number)
        case OrderKind.UPDATE:
            assert order.update is not None
            return ApplyLimits(order.number, order.update.resources)
        case OrderKind.CONNECT:
            return Connect(order.number)
        case OrderKind.DISCONNECT:
            return Disconnect(order.number)


def _rest(container: Container, observed: Observation) -> Iterator[Action]:
    """Remove what a run has left behind; nothing runs and nothing should."""
    if observed.monitor_alive:  # it has recorded the exit and is about to end
        return
    if observed.process_alive:
        yield KillEverything()
        return
    yield from _end_processes(container, observed)
    yield from _clear(container, observed)
    if observed.bundle is not Presence.ABSENT:
        yield RemoveBundle()


def _end_processes(container: Container, observed: Observation) -> Iterator[Action]:
    """End what outlives the first process: without a PID namespace others may live."""
    if not owns_pid_namespace(container.spec) and observed.cgroup is not Presence.ABSENT:
        yield KillEverything()


def _clear(container: Container, observed: Observation) -> Iterator[Action]:
    """Remove what a run has in the kernel."""
    if observed.bundle is not Presence.ABSENT and container.ports:
        yield UnpublishPorts()
    if container.sandbox is not None and observed.sandbox is not Presence.ABSENT:
        yield RemoveSandbox(container.sandbox)
    if observed.cgroup is not Presence.ABSENT:
        yield RemoveCgroup()


def _remove(container: Container, observed: Observation) -> Iterator[Action]:
    if observed.process_alive:
        yield KillEverything()
        return
    if observed.monitor_alive:
        if container.process is not None or observed.cgroup is not Presence.ABSENT:
            yield KillEverything()
        return
    yield from _end_processes(container, observed)
    yield from _clear(container, observed)
    yield RemoveDirectory()
