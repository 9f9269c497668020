"""Plan what to do: (state, observation) → actions. Pure; empty when nothing is to be done.

The plan never looks back: it compares what the log wants with what was observed, so it makes no
difference whether the daemon has just been asked, has just been restarted, or finds that somebody
else has been at work.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
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
    PrepareBundle,
    PrepareCgroup,
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

_INDEPENDENT: Final = (UnpublishPorts, RemoveSandbox, RemoveCgroup)
"""Actions of which none needs another's outcome; all need the bundle, which tells that they are
due."""


def stages(actions: Iterable[Action]) -> Iterator[Sequence[Action]]:
    """Group a plan's actions: those of one group go side by side, the groups one after another."""
    for independent, group in groupby(actions, lambda each: isinstance(each, _INDEPENDENT)):
        if independent:
            yield tuple(group)
        else:
            yield from ((action,) for action in group)


def plan(container: Container, execs: Iterable[Exec], observed: Observation) -> tuple[Action, ...]:
    """The actions, in order, that bring the kernel closer to what the log wants of one
    container.
    """
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
    if observed.monitor_alive:  # launched: the journal will tell
        return
    if container.sandbox_before is not None:  # the last run's, if it was started again at once
        yield RemoveSandbox(container.sandbox_before)
    if container.sandbox is not None and observed.sandbox is not Presence.RIGHT:
        yield PrepareSandbox()
    if observed.cgroup is not Presence.RIGHT:
        yield PrepareCgroup()
    yield PrepareBundle()
    if container.ports:
        yield PublishPorts()
    yield Launch()


def _keep(container: Container, execs: Iterable[Exec], observed: Observation) -> Iterator[Action]:
    if not observed.monitor_alive:
        if observed.process_alive:  # nobody holds its streams, nobody would see it end
            yield KillEverything()
        return
    if container.pending_updates and observed.cgroup is not Presence.RIGHT:
        yield PrepareCgroup()  # what is to be changed must be there
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
    """Nothing runs and nothing should: what a run has left behind goes."""
    if observed.monitor_alive:  # it has written down the end and is about to go
        return
    if observed.process_alive:
        yield KillEverything()
        return
    if not owns_pid_namespace(container.spec) and observed.cgroup is not Presence.ABSENT:
        yield KillEverything()  # the first process has not taken the others with it
    if observed.bundle is not Presence.ABSENT and container.ports:
        yield UnpublishPorts()
    if container.sandbox is not None and observed.sandbox is not Presence.ABSENT:
        yield RemoveSandbox(container.sandbox)
    if observed.cgroup is not Presence.ABSENT:
        yield RemoveCgroup()
    if observed.bundle is not Presence.ABSENT:
        yield RemoveBundle()


def _remove(container: Container, observed: Observation) -> Iterator[Action]:
    if observed.process_alive:
        yield KillEverything()
        return
    if observed.monitor_alive:
        if container.process is not None or observed.cgroup is not Presence.ABSENT:
            yield KillEverything()
        return
    yield from _rest(container, observed)
    yield RemoveDirectory()
