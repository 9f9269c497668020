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
from tests.contract.kernels import LOOK_S, PREPARES, Bench, on_each_kernel
from tests.contract.programs import COUNTED, SHELL, Program


def has_ended(seen: Observation) -> bool:
    return not seen.monitor_alive


@on_each_kernel
async def test_of_a_container_that_was_never_started_all_is_absent(bench: Bench) -> None:
    container = await bench.create()

    seen = await bench.look(container)

    assert seen == Observation(boot_id=bench.kernel.boot_id)


@on_each_kernel
async def test_preparing_twice_is_right(bench: Bench) -> None:
    container = await bench.create()
    await bench.ask_start(container)

    for action in PREPARES:
        assert await bench.act(container, action) == ()
        assert await bench.act(container, action) == ()

    seen = await bench.look(container)
    parts = (seen.sandbox, seen.cgroup, seen.bundle, seen.directory)
    assert parts == (Presence.RIGHT,) * 4
    assert not seen.monitor_alive
    assert seen.facts == ()


@on_each_kernel
async def test_a_launch_tells_of_monitor_and_process(bench: Bench) -> None:
    container = await bench.create()
    await bench.prepare(container)

    facts = await bench.act(container, do.Launch())

    began, started = facts
    assert isinstance(began, MonitorBegan)
    assert isinstance(started, ProcessStarted)
    assert [fact.stamp.number for fact in facts] == [1, 2]
    seen = await bench.look(container)
    assert seen.monitor_alive
    assert seen.process_alive
    assert seen.facts == facts
    assert began.boot_id == started.boot_id == bench.kernel.boot_id


@on_each_kernel
async def test_a_second_launch_changes_nothing(bench: Bench) -> None:
    container = await bench.create()
    await bench.prepare(container)
    facts = await bench.act(container, do.Launch())

    again = await bench.act(container, do.Launch())

    assert again == facts
    assert (await bench.look(container)).facts == facts


@on_each_kernel
async def test_a_program_that_is_not_there_is_told(bench: Bench) -> None:
    container = await bench.create(Program(is_missing=True))
    await bench.prepare(container)

    facts = await bench.act(container, do.Launch())

    began, failed = facts
    assert isinstance(began, MonitorBegan)
    assert isinstance(failed, ProcessNotStarted)
    assert failed.exit_code == 127
    assert failed.message == 'exec: "nope": executable file not found in $PATH'
    seen = await bench.until(container, has_ended)
    assert not seen.process_alive


@on_each_kernel
async def test_an_end_by_itself_is_a_runs_last_fact(bench: Bench) -> None:
    container = await bench.start(Program(lasts_s=0.2, code=3))

    seen = await bench.until(container, has_ended)

    last = seen.facts[-1]
    assert isinstance(last, ProcessExited)
    assert (last.code, last.signal, last.oom) == (3, None, False)
    assert [fact.stamp.number for fact in seen.facts] == [1, 2, 3]
    assert not seen.process_alive


@on_each_kernel
async def test_a_signal_that_the_program_obeys_ends_it(bench: Bench) -> None:
    container = await bench.start(Program(obeys=(SIGTERM,)))

    await bench.act(container, do.Signal(order=1, signal=SIGTERM))

    last = (await bench.until(container, has_ended)).facts[-1]
    assert isinstance(last, ProcessExited)
    assert (last.code, last.signal) == (143, None)


@on_each_kernel
async def test_one_order_delivers_its_signal_once(bench: Bench) -> None:
    container = await bench.start()
    await bench.act(container, do.Signal(order=1, signal=COUNTED))
    while not bench.heard(container, 1):  # noqa: ASYNC110  (nobody tells)
        await trio.sleep(LOOK_S)

    await bench.act(container, do.Signal(order=1, signal=COUNTED))

    await bench.act(container, do.Signal(order=2, signal=SIGTERM))
    await bench.until(container, has_ended)
    assert bench.heard(container, 1) == 1


@on_each_kernel
async def test_kill_ends_what_obeys_nothing(bench: Bench) -> None:
    container = await bench.start(Program(obeys=()))

    await bench.act(container, do.Signal(order=1, signal=SIGKILL))
    await bench.act(container, do.Signal(order=1, signal=SIGKILL))

    last = (await bench.until(container, has_ended)).facts[-1]
    assert isinstance(last, ProcessExited)
    assert (last.code, last.signal) == (137, SIGKILL)


@on_each_kernel
async def test_killing_everything_ends_process_and_monitor(bench: Bench) -> None:
    container = await bench.start(Program(obeys=()))

    await bench.act(container, do.KillEverything())
    await bench.act(container, do.KillEverything())

    seen = await bench.look(container)
    assert not seen.monitor_alive
    assert not seen.process_alive
    last = seen.facts[-1]
    assert isinstance(last, ProcessExited)
    assert (last.code, last.signal) == (137, SIGKILL)


@on_each_kernel
async def test_freezing_and_thawing_are_seen(bench: Bench) -> None:
    container = await bench.start()
    assert not (await bench.look(container)).frozen

    await bench.record(container, PauseRequested(order=1))
    for _ in range(2):
        await bench.act(container, do.Freeze(order=1))
        assert (await bench.look(container)).frozen
    await bench.record(container, Paused(order=1))
    assert (await bench.look(container)).frozen

    await bench.record(container, UnpauseRequested(order=2))
    for _ in range(2):
        await bench.act(container, do.Thaw(order=2))
        assert not (await bench.look(container)).frozen


@on_each_kernel
async def test_killing_everything_ends_what_is_frozen(bench: Bench) -> None:
    container = await bench.start()
    await bench.record(container, PauseRequested(order=1))
    await bench.act(container, do.Freeze(order=1))
    await bench.record(container, Paused(order=1))

    await bench.end(container)

    seen = await bench.look(container)
    assert not seen.process_alive
    assert not seen.frozen


@on_each_kernel
async def test_an_exec_runs_once_and_its_code_is_told(bench: Bench) -> None:
    container = await bench.start()
    execution = await bench.ask_exec(container, *SHELL, "exit 3")

    facts = await bench.act(container, do.StartExec(execution))
    await bench.until(container, lambda seen: isinstance(seen.facts[-1], ExecProcessExited))
    again = await bench.act(container, do.StartExec(execution))

    started = [each for each in facts if isinstance(each, ExecProcessStarted)]
    assert [each.exec_id for each in started] == [execution.id]
    seen = await bench.look(container)
    assert again == seen.facts
    *_, begun, ended = seen.facts
    assert isinstance(begun, ExecProcessStarted)
    assert isinstance(ended, ExecProcessExited)
    assert (ended.exec_id, ended.code) == (execution.id, 3)
    assert [fact.stamp.number for fact in seen.facts] == [1, 2, 3, 4]


@on_each_kernel
async def test_the_end_of_an_exec_is_told_once(bench: Bench) -> None:
    container = await bench.start()
    execution = await bench.ask_exec(container, *SHELL, "exit 3")
    await bench.act(container, do.StartExec(execution))
    await bench.until(container, lambda seen: isinstance(seen.facts[-1], ExecProcessExited))

    await bench.act(container, do.KillEverything())

    facts = (await bench.look(container)).facts
    assert [each.code for each in facts if isinstance(each, ExecProcessExited)] == [3]
    assert isinstance(facts[-1], ProcessExited)


@on_each_kernel
async def test_facts_that_are_known_are_not_told_again(bench: Bench) -> None:
    container = await bench.start(Program(lasts_s=0.2))
    await bench.until(container, has_ended)

    seen = await bench.look(container, facts_after=2)
    nothing = await bench.look(container, facts_after=3)

    assert [fact.stamp.number for fact in seen.facts] == [3]
    assert nothing.facts == ()


@on_each_kernel
async def test_the_next_daemon_is_told_of_a_runs_birth(bench: Bench) -> None:
    """However much was taken over: without it nobody would know whose journal it is."""
    container = await bench.start()
    await bench.look(container, facts_after=2)

    seen = await bench.next_kernel().observe(bench.container(container), 0)

    began, started = seen.facts
    assert isinstance(began, MonitorBegan)
    assert isinstance(started, ProcessStarted)


@on_each_kernel
async def test_what_was_removed_is_absent(bench: Bench) -> None:
    container = await bench.start()
    await bench.end(container)
    sandbox = bench.container(container).sandbox
    assert sandbox is not None
    kept = await bench.look(container)
    parts = (kept.sandbox, kept.cgroup, kept.bundle, kept.directory)
    assert parts == (Presence.RIGHT,) * 4

    for action in (do.RemoveSandbox(sandbox), do.RemoveCgroup(), do.RemoveBundle()):
        await bench.act(container, action)
        await bench.act(container, action)

    seen = await bench.look(container)
    assert (seen.sandbox, seen.cgroup, seen.bundle) == (Presence.ABSENT,) * 3
    assert seen.directory is Presence.RIGHT
    for _ in range(2):
        await bench.act(container, do.RemoveDirectory())
        assert (await bench.look(container)).directory is Presence.ABSENT


@on_each_kernel
async def test_files_are_observed_while_a_container_runs(bench: Bench) -> None:
    container = await bench.start()
    await bench.act(container, do.UpdateFiles())
    running = await bench.look(container)

    await bench.end(container)

    assert running.files is Presence.RIGHT
    assert (await bench.look(container)).files is Presence.ABSENT


@on_each_kernel
async def test_limits_hold_when_they_are_applied(bench: Bench) -> None:
    container = await bench.start(resources=Resources(pids_max=100))
    assert bench.pids_max(container) == 100

    for _ in range(2):
        await bench.act(container, do.ApplyLimits(order=1, resources=Resources(pids_max=50)))
        assert bench.pids_max(container) == 50


@on_each_kernel
async def test_limits_of_a_cgroup_that_is_gone_are_refused(bench: Bench) -> None:
    container = await bench.create()
    await bench.ask_start(container)

    with pytest.raises(DriverError):
        await bench.act(container, do.ApplyLimits(order=1, resources=Resources(pids_max=50)))


@on_each_kernel
async def test_an_exec_in_a_container_that_has_ended_is_refused(bench: Bench) -> None:
    container = await bench.start()
    execution = await bench.ask_exec(container, "true")
    await bench.act(container, do.KillEverything())

    with pytest.raises(DriverError):
        await bench.act(container, do.StartExec(execution))


@on_each_kernel
async def test_a_signal_to_what_has_ended_does_nothing(bench: Bench) -> None:
    container = await bench.start()
    await bench.act(container, do.KillEverything())
    before = await bench.look(container)

    await bench.act(container, do.Signal(order=1, signal=SIGKILL))

    assert await bench.look(container) == before
