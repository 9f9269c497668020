"""Test the port ``Probes``: commands of health checks, in simulated and in real containers."""

import pytest
import trio

from engine.domain.ids import ContainerId
from engine.errors import DriverError
from engine.ports import actions as do
from engine.ports.probes import ProbeAnswer
from tests.contract.kernels import LOOK_S, MachineUnderTest, on_each_kernel
from tests.contract.programs import Check, Program

LONG_S = 1000.0
"""Longer than any test."""


async def started(machine: MachineUnderTest, check: Check) -> ContainerId:
    return await machine.start(Program(check=check))


async def probe(
    machine: MachineUnderTest, identity: ContainerId, check: Check, timeout_s: float = LONG_S
) -> ProbeAnswer | None:
    container = machine.container(identity)
    return await machine.probes.probe(container, check.arguments, timeout_s)


@on_each_kernel
async def test_a_command_that_succeeds_is_answered_with_its_output(
    machine: MachineUnderTest,
) -> None:
    container = await started(machine, check := Check())

    answer = await probe(machine, container, check)

    assert answer is not None
    assert answer.exit_code == 0
    assert answer.output


@on_each_kernel
async def test_a_command_that_fails_is_answered_with_its_code(machine: MachineUnderTest) -> None:
    container = await started(machine, check := Check(code=1))

    answer = await probe(machine, container, check)

    assert answer is not None
    assert answer.exit_code == 1


@on_each_kernel
async def test_a_command_that_is_not_there_is_an_error_in_dockers_words(
    machine: MachineUnderTest,
) -> None:
    container = await started(machine, check := Check(is_missing=True))

    with pytest.raises(DriverError) as failed:
        await probe(machine, container, check)

    assert str(failed.value) == (
        "OCI runtime exec failed: exec failed: unable to start container process: "
        'exec: "nope": executable file not found in $PATH: unknown'
    )


@on_each_kernel
async def test_a_command_that_takes_too_long_has_no_exit_code(machine: MachineUnderTest) -> None:
    container = await started(machine, check := Check(lasts_s=LONG_S))

    for _ in range(2):  # the first one has ended when the second is asked for
        answer = await probe(machine, container, check, timeout_s=0.1)

        assert answer is not None
        assert answer.exit_code is None


@on_each_kernel
async def test_in_a_container_that_does_not_run_there_is_no_answer(
    machine: MachineUnderTest,
) -> None:
    check = Check()
    never = await machine.create(Program(check=check))
    ended = await started(machine, check)
    running = machine.container(ended)
    await machine.end(ended)

    assert await probe(machine, never, check) is None
    assert await probe(machine, ended, check) is None
    assert await machine.probes.probe(running, check.arguments, LONG_S) is None, (
        "even when the caller does not know of the end yet"
    )


@on_each_kernel
async def test_the_end_of_the_container_is_no_answer(machine: MachineUnderTest) -> None:
    container = await started(machine, check := Check(lasts_s=0.5))
    answers: list[ProbeAnswer | None] = []

    async def ask() -> None:
        answers.append(await probe(machine, container, check))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        while not machine.probe_runs(container):  # noqa: ASYNC110  (nobody tells)
            await trio.sleep(LOOK_S)
        await machine.act(container, do.KillEverything())

    assert answers == [None]


@on_each_kernel
async def test_there_is_one_probe_at_a_time_until_nobody_waits_for_it(
    machine: MachineUnderTest,
) -> None:
    container = await started(machine, check := Check(lasts_s=LONG_S))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(probe, machine, container, check)
        while not machine.probe_runs(container):  # noqa: ASYNC110  (nobody tells)
            await trio.sleep(LOOK_S)
        with pytest.raises(DriverError, match="the last probe has not ended"):
            await probe(machine, container, check)
        nursery.cancel_scope.cancel()

    while machine.probe_runs(container):  # noqa: ASYNC110  (nobody tells)
        await trio.sleep(LOOK_S)
    answer = await probe(machine, container, check, timeout_s=0.1)
    assert answer is not None
