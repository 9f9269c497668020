"""The port ``Kernel``: what the supervisor relies on holds for the simulated kernel and for the
real one."""

from signal import SIGKILL, SIGTERM

import pytest
import trio

from engine.domain.container.events import Paused, PauseRequested, UnpauseRequested
from engine.domain.container.resources import Resources
from engine.errors import DriverError
from engine.ports import actions as do
from engine.ports.observation import (
    ExecProcessExited,
    ExecProcessStarted,
    MonitorBegan,
    Observation,
    Presence,
    ProcessExited,
    ProcessNotStarted,
    ProcessStarted,
)
from tests.contract.kernels import LOOK_S, PREPARES, MachineUnderTest, on_each_kernel
from tests.contract.programs import COUNTED, SHELL, Program


def has_ended(seen: Observation) -> bool:
    return not seen.monitor_alive


@on_each_kernel
async def test_of_a_container_that_was_never_started_all_is_absent(
    machine: MachineUnderTest,
) -> None:
    container = await machine.create()

    seen = await machine.look(container)

    assert seen == Observation(boot_id=machine.kernel.boot_id)


@on_each_kernel
async def test_preparing_twice_is_right(machine: MachineUnderTest) -> None:
    container = await machine.create()
    await machine.ask_start(container)

    for action in PREPARES:
        assert await machine.act(container, action) == ()
        assert await machine.act(container, action) == ()

    seen = await machine.look(container)
    parts = (seen.sandbox, seen.cgroup, seen.bundle, seen.directory)
    assert parts == (Presence.RIGHT,) * 4
    assert not seen.monitor_alive
    assert seen.facts == ()


@on_each_kernel
async def test_a_launch_tells_of_monitor_and_process(machine: MachineUnderTest) -> None:
    container = await machine.create()
    await machine.prepare(container)

    facts = await machine.act(container, do.Launch())

    began, started = facts
    assert isinstance(began, MonitorBegan)
    assert isinstance(started, ProcessStarted)
    assert [fact.stamp.number for fact in facts] == [1, 2]
    seen = await machine.look(container)
    assert seen.monitor_alive
    assert seen.process_alive
    assert seen.facts == facts
    assert began.boot_id == started.boot_id == machine.kernel.boot_id


@on_each_kernel
async def test_a_second_launch_changes_nothing(machine: MachineUnderTest) -> None:
    container = await machine.create()
    await machine.prepare(container)
    facts = await machine.act(container, do.Launch())

    again = await machine.act(container, do.Launch())

    assert again == facts
    assert (await machine.look(container)).facts == facts


@on_each_kernel
async def test_a_missing_program_is_reported(machine: MachineUnderTest) -> None:
    container = await machine.create(Program(is_missing=True))
    await machine.prepare(container)

    facts = await machine.act(container, do.Launch())

    began, failed = facts
    assert isinstance(began, MonitorBegan)
    assert isinstance(failed, ProcessNotStarted)
    assert failed.exit_code == 127
    assert failed.message == 'exec: "nope": executable file not found in $PATH'
    seen = await machine.until(container, has_ended)
    assert not seen.process_alive


@on_each_kernel
async def test_an_end_by_itself_is_a_runs_last_fact(machine: MachineUnderTest) -> None:
    container = await machine.start(Program(lasts_s=0.2, code=3))

    seen = await machine.until(container, has_ended)

    last = seen.facts[-1]
    assert isinstance(last, ProcessExited)
    assert (last.code, last.signal, last.oom) == (3, None, False)
    assert [fact.stamp.number for fact in seen.facts] == [1, 2, 3]
    assert not seen.process_alive


@on_each_kernel
async def test_a_signal_that_the_program_obeys_ends_it(machine: MachineUnderTest) -> None:
    container = await machine.start(Program(obeys=(SIGTERM,)))

    await machine.act(container, do.Signal(order=1, signal=SIGTERM))

    last = (await machine.until(container, has_ended)).facts[-1]
    assert isinstance(last, ProcessExited)
    assert (last.code, last.signal) == (143, None)


@on_each_kernel
async def test_one_order_delivers_its_signal_once(machine: MachineUnderTest) -> None:
    container = await machine.start()
    await machine.act(container, do.Signal(order=1, signal=COUNTED))
    while not machine.heard(container, 1):  # noqa: ASYNC110  (nobody tells)
        await trio.sleep(LOOK_S)

    await machine.act(container, do.Signal(order=1, signal=COUNTED))

    await machine.act(container, do.Signal(order=2, signal=SIGTERM))
    await machine.until(container, has_ended)
    assert machine.heard(container, 1) == 1


@on_each_kernel
async def test_kill_ends_what_obeys_nothing(machine: MachineUnderTest) -> None:
    container = await machine.start(Program(obeys=()))

    await machine.act(container, do.Signal(order=1, signal=SIGKILL))
    await machine.act(container, do.Signal(order=1, signal=SIGKILL))

    last = (await machine.until(container, has_ended)).facts[-1]
    assert isinstance(last, ProcessExited)
    assert (last.code, last.signal) == (137, SIGKILL)


@on_each_kernel
async def test_killing_everything_ends_process_and_monitor(machine: MachineUnderTest) -> None:
    container = await machine.start(Program(obeys=()))

    await machine.act(container, do.KillEverything())
    await machine.act(container, do.KillEverything())

    seen = await machine.look(container)
    assert not seen.monitor_alive
    assert not seen.process_alive
    last = seen.facts[-1]
    assert isinstance(last, ProcessExited)
    assert (last.code, last.signal) == (137, SIGKILL)


@on_each_kernel
async def test_freezing_and_thawing_are_seen(machine: MachineUnderTest) -> None:
    container = await machine.start()
    assert not (await machine.look(container)).frozen

    await machine.record(container, PauseRequested(order=1))
    for _ in range(2):
        await machine.act(container, do.Freeze(order=1))
        assert (await machine.look(container)).frozen
    await machine.record(container, Paused(order=1))
    assert (await machine.look(container)).frozen

    await machine.record(container, UnpauseRequested(order=2))
    for _ in range(2):
        await machine.act(container, do.Thaw(order=2))
        assert not (await machine.look(container)).frozen


@on_each_kernel
async def test_killing_everything_ends_what_is_frozen(machine: MachineUnderTest) -> None:
    container = await machine.start()
    await machine.record(container, PauseRequested(order=1))
    await machine.act(container, do.Freeze(order=1))
    await machine.record(container, Paused(order=1))

    await machine.end(container)

    seen = await machine.look(container)
    assert not seen.process_alive
    assert not seen.frozen


@on_each_kernel
async def test_an_exec_runs_once_and_its_code_is_reported(machine: MachineUnderTest) -> None:
    container = await machine.start()
    execution = await machine.ask_exec(container, *SHELL, "exit 3")

    facts = await machine.act(container, do.StartExec(execution))
    await machine.until(container, lambda seen: isinstance(seen.facts[-1], ExecProcessExited))
    again = await machine.act(container, do.StartExec(execution))

    started = [each for each in facts if isinstance(each, ExecProcessStarted)]
    assert [each.exec_id for each in started] == [execution.id]
    seen = await machine.look(container)
    assert again == seen.facts
    *_, begun, ended = seen.facts
    assert isinstance(begun, ExecProcessStarted)
    assert isinstance(ended, ExecProcessExited)
    assert (ended.exec_id, ended.code) == (execution.id, 3)
    assert [fact.stamp.number for fact in seen.facts] == [1, 2, 3, 4]


@on_each_kernel
async def test_the_end_of_an_exec_is_reported_once(machine: MachineUnderTest) -> None:
    container = await machine.start()
    execution = await machine.ask_exec(container, *SHELL, "exit 3")
    await machine.act(container, do.StartExec(execution))
    await machine.until(container, lambda seen: isinstance(seen.facts[-1], ExecProcessExited))

    await machine.act(container, do.KillEverything())

    facts = (await machine.look(container)).facts
    assert [each.code for each in facts if isinstance(each, ExecProcessExited)] == [3]
    assert isinstance(facts[-1], ProcessExited)


@on_each_kernel
async def test_facts_that_are_known_are_not_returned_again(machine: MachineUnderTest) -> None:
    container = await machine.start(Program(lasts_s=0.2))
    await machine.until(container, has_ended)

    seen = await machine.look(container, facts_after=2)
    nothing = await machine.look(container, facts_after=3)

    assert [fact.stamp.number for fact in seen.facts] == [3]
    assert nothing.facts == ()


@on_each_kernel
async def test_the_next_daemon_learns_of_a_runs_start(machine: MachineUnderTest) -> None:
    """However much was taken over: without it nobody would know whose journal it is."""
    container = await machine.start()
    await machine.look(container, facts_after=2)

    seen = await machine.next_kernel().observe(machine.container(container), 0)

    began, started = seen.facts
    assert isinstance(began, MonitorBegan)
    assert isinstance(started, ProcessStarted)


@on_each_kernel
async def test_what_was_removed_is_absent(machine: MachineUnderTest) -> None:
    container = await machine.start()
    await machine.end(container)
    sandbox = machine.container(container).sandbox
    assert sandbox is not None
    kept = await machine.look(container)
    parts = (kept.sandbox, kept.cgroup, kept.bundle, kept.directory)
    assert parts == (Presence.RIGHT,) * 4

    for action in (do.RemoveSandbox(sandbox), do.RemoveCgroup(), do.RemoveBundle()):
        await machine.act(container, action)
        await machine.act(container, action)

    seen = await machine.look(container)
    assert (seen.sandbox, seen.cgroup, seen.bundle) == (Presence.ABSENT,) * 3
    assert seen.directory is Presence.RIGHT
    for _ in range(2):
        await machine.act(container, do.RemoveDirectory())
        assert (await machine.look(container)).directory is Presence.ABSENT


@on_each_kernel
async def test_the_bundle_goes_with_the_directory(machine: MachineUnderTest) -> None:
    container = await machine.start()
    await machine.end(container)

    await machine.act(container, do.RemoveDirectory())

    seen = await machine.look(container)
    assert (seen.bundle, seen.directory) == (Presence.ABSENT,) * 2


@on_each_kernel
async def test_files_are_observed_while_a_container_runs(machine: MachineUnderTest) -> None:
    container = await machine.start()
    await machine.act(container, do.UpdateFiles())
    running = await machine.look(container)

    await machine.end(container)

    assert running.files is Presence.RIGHT
    assert (await machine.look(container)).files is Presence.ABSENT


@on_each_kernel
async def test_limits_hold_when_they_are_applied(machine: MachineUnderTest) -> None:
    container = await machine.start(resources=Resources(pids_max=100))
    assert machine.pids_max(container) == 100

    for _ in range(2):
        await machine.act(container, do.ApplyLimits(order=1, resources=Resources(pids_max=50)))
        assert machine.pids_max(container) == 50


@on_each_kernel
async def test_limits_of_a_cgroup_that_is_gone_are_refused(machine: MachineUnderTest) -> None:
    container = await machine.create()
    await machine.ask_start(container)

    with pytest.raises(DriverError):
        await machine.act(container, do.ApplyLimits(order=1, resources=Resources(pids_max=50)))


@on_each_kernel
async def test_an_exec_in_a_container_that_has_ended_is_refused(machine: MachineUnderTest) -> None:
    container = await machine.start()
    execution = await machine.ask_exec(container, "true")
    await machine.act(container, do.KillEverything())

    with pytest.raises(DriverError):
        await machine.act(container, do.StartExec(execution))


@on_each_kernel
async def test_a_signal_to_what_has_ended_does_nothing(machine: MachineUnderTest) -> None:
    container = await machine.start()
    await machine.act(container, do.KillEverything())
    before = await machine.look(container)

    await machine.act(container, do.Signal(order=1, signal=SIGKILL))

    assert await machine.look(container) == before
