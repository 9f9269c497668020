"""Test the port ``Usage``: what simulated and real containers use."""

import trio

from engine.domain.container.namespace_sharing import HOST, NONE
from engine.domain.container.resources import Resources
from tests.contract.kernels import LOOK_S, MachineUnderTest, on_each_kernel

MEMORY_BYTES = 64 << 20
PIDS_MAX = 100


@on_each_kernel
async def test_where_nothing_runs_nothing_is_used(machine: MachineUnderTest) -> None:
    created = await machine.create()
    ended = await machine.start()
    running = machine.container(ended)
    assert await machine.usage.sample(running) is not None
    await machine.end(ended)

    assert await machine.usage.sample(machine.container(created)) is None
    assert await machine.usage.sample(machine.container(ended)) is None
    assert await machine.usage.sample(running) is None, "even when the caller does not know yet"


@on_each_kernel
async def test_a_container_that_runs_uses_memory_and_processes(machine: MachineUnderTest) -> None:
    container = await machine.start()

    sample = await machine.usage.sample(machine.container(container))

    assert sample is not None
    assert sample.counters.version in (1, 2)
    assert sample.counters.pids >= 1
    assert 0 < sample.counters.memory_bytes < sample.machine_memory_bytes
    assert (sample.counters.memory_limit_bytes, sample.counters.pids_max) == (None, None)
    assert sample.cpus_online >= 1


@on_each_kernel
async def test_limits_are_told_with_the_counters(machine: MachineUnderTest) -> None:
    limits = Resources(memory_bytes=MEMORY_BYTES, pids_max=PIDS_MAX)
    container = await machine.start(resources=limits)

    sample = await machine.usage.sample(machine.container(container))

    assert sample is not None
    assert sample.counters.memory_limit_bytes == MEMORY_BYTES
    assert sample.counters.pids_max == PIDS_MAX


@on_each_kernel
async def test_times_only_grow(machine: MachineUnderTest) -> None:
    container = machine.container(await machine.start())
    before = await machine.usage.sample(container)
    assert before is not None

    while True:
        after = await machine.usage.sample(container)
        assert after is not None
        assert after.at_ns >= before.at_ns
        assert after.counters.cpu_ns >= before.counters.cpu_ns
        if after.machine_cpu_ns > before.machine_cpu_ns:
            return
        await trio.sleep(LOOK_S)


@on_each_kernel
async def test_interfaces_are_the_containers_own(machine: MachineUnderTest) -> None:
    await machine.kernel.networks.repair(machine.ledger.durable.networks_with_links(), ())
    found = {}
    for mode in (NONE, "bridge", HOST):
        container = await machine.start(network_mode=mode)
        sample = await machine.usage.sample(machine.container(container))
        assert sample is not None
        found[mode] = list(sample.interfaces)

    assert found == {NONE: [], "bridge": ["eth0"], HOST: []}
