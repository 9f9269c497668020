"""Test plans on any history: a whole plan leaves nothing to do, and half of one, or the same one
twice, does no harm.

Pure functions and a simulated machine; no supervisor, no database, no clock but a counter.
"""

from contextlib import suppress
from copy import deepcopy
from signal import SIGHUP, SIGKILL, SIGTERM
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.domain.container.decisions import (
    decide_pause,
    decide_remove,
    decide_signal,
    decide_start,
    decide_stop,
    decide_unpause,
)
from engine.domain.container.events import (
    Created,
    Paused,
    Removed,
    Signalled,
    Unpaused,
)
from engine.domain.container.evolution import evolve
from engine.domain.container.phases import HAS_PROCESS, NAMELESS, Phase
from engine.domain.container.spec import PortBinding
from engine.domain.event import Event
from engine.domain.exec import state as exec_life
from engine.domain.exec.state import Exec, ExecCreated, ExecSpec, ExecStartRequested
from engine.domain.ids import ContainerId, ExecId, SandboxId
from engine.domain.streams import container_stream
from engine.errors import DriverError, EngineError
from engine.ports import actions as do
from engine.ports.actions import Action
from engine.supervisor.missing_events import conclude
from engine.supervisor.plan import plan
from tests.model.simulated_daemon import spec
from tests.model.simulated_kernel import SimulatedKernel
from tests.model.simulated_machine import SECOND_NS, CrashPoint, Machine

ID: Final = ContainerId("c" * 64)
ACTIVE: Final = frozenset({Phase.STARTING, *HAS_PROCESS})
LOOKS_MAX: Final = 6
"""More steps than any state is away from rest: an order, an end, what it leaves behind, the
directory.
"""


class CountingClock:
    """A clock that advances by a second with each use."""

    def __init__(self) -> None:
        self.now_ns = SECOND_NS

    def wall_ns(self) -> int:
        return self.now_ns

    def boot_ns(self) -> int:
        return self.now_ns


class Life:
    """One container's history, and the machine that it runs on."""

    def __init__(self) -> None:
        self.clock = CountingClock()
        self.machine = Machine()
        self.machine.clock = self.clock  # type: ignore[assignment]  # the same two questions
        self.kernel = SimulatedKernel(self.machine, CrashPoint())
        created = Created(id=ID, name="c", spec=spec(obeys="SIGTERM"))
        self.container = evolve(None, created, 0)
        self.execs: dict[ExecId, Exec] = {}

    def record(self, *events: Event) -> None:
        for event in events:
            self.container = evolve(self.container, event, self.clock.now_ns)

    def planned(self) -> tuple[Action, ...]:
        """Observe, record what has happened, and plan; return the actions that are due."""
        seen = self.kernel.look(self.container, 0)
        concluded = conclude(self.container, self.execs, seen, None, self.clock.now_ns)
        for each in concluded:
            if each.stream == container_stream(ID):
                self.record(*each.events)
            else:
                self.evolve_exec(ExecId(each.stream.rpartition("/")[2]), *each.events)
        return plan(self.container, tuple(self.execs.values()), seen)

    def evolve_exec(self, execution: ExecId, *events: Event) -> None:
        known: Exec | None = self.execs.get(execution)
        for event in events:
            known = exec_life.evolve(known, event, self.clock.now_ns)
        assert known is not None
        self.execs[execution] = known

    def perform(self, actions: tuple[Action, ...]) -> None:
        """Perform actions, each with its outcome in the history."""
        for action in actions:
            self.kernel.effect(self.container, action)
            self.record(*_outcomes(action))

    def ask(self, *decided: Event) -> None:
        """Append a user's decision, a second later."""
        self.clock.now_ns += SECOND_NS
        self.record(*decided)

    def settle(self) -> None:
        """Work as the supervisor does, until nothing is to be done."""
        for _ in range(LOOKS_MAX):
            if not (actions := self.planned()):
                return
            # its container has ended, as the next observation will show
            with suppress(DriverError):
                self.perform(actions)
        raise AssertionError(f"after {LOOKS_MAX} looks still to be done: {self.planned()}")

    def check_rest(self) -> None:
        """Check that log and machine agree."""
        container, place = self.container, self.machine.place(ID)
        assert not container.orders or container.phase is Phase.REMOVED
        assert container.phase is not Phase.STARTING
        assert container.phase is not Phase.REMOVING
        assert all(count == 1 for count in self.machine.launches.values())
        assert all(count == 1 for count in self.machine.deliveries.values())
        assert all(count == 1 for count in self.machine.exec_starts.values())
        if container.is_running:
            assert place.process is not None
            assert place.process.alive
            assert place.process.identity == container.process
            assert place.frozen == (container.phase is Phase.PAUSED)
            assert place.sandboxes == ({container.sandbox} if container.sandbox else set())
            assert place.cgroup
            assert place.files
        else:
            assert place.process is None or not place.process.alive
            assert not place.cgroup
            assert not place.bundle
            assert not place.sandboxes
        assert not place.directory or container.phase is not Phase.REMOVED


class Lifecycle(RuleBasedStateMachine):
    """Users ask, processes end, things break, and the daemon dies in the middle of a plan."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Life()

    @precondition(lambda self: self.life.container.phase not in (*ACTIVE, *NAMELESS))
    @rule(has_ports=st.booleans(), has_sandbox=st.booleans())
    def start(self, has_ports: bool, has_sandbox: bool) -> None:
        ports = (PortBinding(container_port=80, host_port=8080),) if has_ports else ()
        sandbox = SandboxId(f"{self.life.container.run + 1:016x}") if has_sandbox else None
        with suppress(EngineError):
            self.life.ask(
                *decide_start(self.life.container, sandbox=sandbox, endpoints=(), ports=ports)
            )

    @precondition(lambda self: self.life.container.phase in ACTIVE)
    @rule(timeout_s=st.sampled_from([-1, 0, 10]))
    def stop(self, timeout_s: int) -> None:
        with suppress(EngineError):
            self.life.ask(
                *decide_stop(
                    self.life.container,
                    signal=None,
                    timeout_s=timeout_s,
                    boot_ns=self.life.clock.now_ns,
                )
            )

    @precondition(lambda self: self.life.container.phase in ACTIVE)
    @rule(signal=st.sampled_from([SIGHUP, SIGTERM, SIGKILL]))
    def send_signal(self, signal: int) -> None:
        with suppress(EngineError):
            self.life.ask(*decide_signal(self.life.container, signal, self.life.clock.now_ns))

    @precondition(lambda self: self.life.container.phase is Phase.RUNNING)
    @rule()
    def pause(self) -> None:
        with suppress(EngineError):
            self.life.ask(*decide_pause(self.life.container))

    @precondition(lambda self: self.life.container.phase is Phase.PAUSED)
    @rule()
    def unpause(self) -> None:
        with suppress(EngineError):
            self.life.ask(*decide_unpause(self.life.container))

    @precondition(
        lambda self: self.life.container.run and self.life.container.phase is not Phase.REMOVED
    )
    @rule(force=st.booleans())
    def remove(self, force: bool) -> None:
        with suppress(EngineError):
            self.life.ask(*decide_remove(self.life.container, force=force, volumes=False))

    @precondition(lambda self: self.life.container.phase is Phase.RUNNING)
    @rule()
    def start_exec(self) -> None:
        execution = ExecId(f"{len(self.life.execs):064x}")
        created = ExecCreated(id=execution, container=ID, spec=ExecSpec(arguments=("true",)))
        self.life.evolve_exec(execution, created, ExecStartRequested())

    @rule(seconds=st.integers(min_value=1, max_value=20))
    def time_passes(self, seconds: int) -> None:
        self.life.clock.now_ns += seconds * SECOND_NS

    @precondition(lambda self: self.life.machine.place(ID).monitor is not None)
    @rule(code=st.integers(min_value=0, max_value=255))
    def process_exits(self, code: int) -> None:
        process = self.life.machine.place(ID).process
        if process is not None and process.alive:
            self.life.machine.end(self.life.container, code, None)

    @precondition(lambda self: self.life.machine.place(ID).monitor is not None)
    @rule()
    def monitor_is_killed(self) -> None:
        self.life.machine.kill_monitor(ID)

    @precondition(lambda self: self.life.machine.place(ID).cgroup)
    @rule()
    def machine_is_restarted(self) -> None:
        self.life.machine.reboot()

    @precondition(lambda self: self.life.machine.place(ID).frozen)
    @rule()
    def somebody_thaws_it(self) -> None:
        self.life.machine.place(ID).frozen = False

    @precondition(lambda self: self.life.machine.place(ID).cgroup)
    @rule(what=st.sampled_from(["cgroup", "files", "sandboxes"]))
    def somebody_takes_something_away(self, what: str) -> None:
        setattr(self.life.machine.place(ID), what, set() if what == "sandboxes" else False)

    @rule()
    def daemon_works(self) -> None:
        self.life.settle()

    @rule(survived=st.integers(min_value=0, max_value=4), is_unrecorded=st.booleans())
    def daemon_is_killed_mid_plan(self, survived: int, is_unrecorded: bool) -> None:
        """One more action may have been performed, whose outcome is not in the history."""
        actions = self.life.planned()
        with suppress(DriverError):
            self.life.perform(actions[:survived])
            if is_unrecorded and actions[survived:]:
                self.life.kernel.effect(self.life.container, actions[survived])

    @invariant()
    def a_whole_plan_leaves_nothing_to_do(self) -> None:
        """Checked on a copy: the history continues from where it was."""
        life = deepcopy(self.life)

        life.settle()

        assert life.planned() == ()
        life.check_rest()


def _outcomes(action: Action) -> tuple[Event, ...]:
    match action:
        case do.Signal(order=order, signal=signal):
            return (Signalled(order=order, signal=signal),)
        case do.Freeze(order=order):
            return (Paused(order=order),)
        case do.Thaw(order=order):
            return (Unpaused(order=order),)
        case do.RemoveDirectory():
            return (Removed(),)
        case _:
            return ()


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
