"""Test what Docker refuses, with Docker's messages."""

import pytest

from engine.domain.container.resource_rules import accepted
from engine.domain.container.resources import DeviceRule, Machine, Resources, parse_list
from engine.errors import InvalidRequest

MIB = 1 << 20
MACHINE = Machine(cpus="0-1", memory_nodes="0")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Resources(memory_bytes=1 * MIB), "Minimum memory limit allowed is 6MB"),
        (
            Resources(memory_bytes=20 * MIB, memory_swap_bytes=10 * MIB),
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (
            Resources(memory_swap_bytes=10 * MIB),
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        (
            Resources(memory_swappiness=101),
            "Invalid value: 101, valid memory swappiness range is 0-100",
        ),
        (Resources(memory_reservation_bytes=1), "Minimum memory reservation allowed is 6MB"),
        (
            Resources(memory_bytes=20 * MIB, memory_reservation_bytes=30 * MIB),
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ),
        (
            Resources(nano_cpus=3_000_000_000),
            "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
        ),
        (
            Resources(nano_cpus=-1),
            "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
        ),
        (
            Resources(nano_cpus=1, cpu_period_us=1000),
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ),
        (
            Resources(nano_cpus=1, cpu_quota_us=1000),
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ),
        (
            Resources(cpu_period_us=1),
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ),
        (Resources(cpu_quota_us=1), "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        (
            Resources(cpuset_cpus="0-9"),
            "Requested CPUs are not available - requested 0-9, available: 0-1",
        ),
        (Resources(cpuset_cpus="a"), "Invalid value a for cpuset cpus: invalid format: a"),
        (
            Resources(cpuset_mems="1"),
            "Requested memory nodes are not available - requested 1, available: 0",
        ),
        (Resources(blkio_weight=5), "Range of blkio weight is from 10 to 1000"),
        (
            Resources(device_rules=(DeviceRule(kind="c", access="x"),)),
            "invalid device access mode: 'x'",
        ),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_in_dockers_words(
    asked: Resources, words: str
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        accepted(asked, MACHINE)

    assert str(refusal.value) == words


@pytest.mark.parametrize(
    "asked",
    [
        Resources(),
        Resources(memory_bytes=6 * MIB),
        Resources(memory_bytes=6 * MIB, memory_swap_bytes=-1),
        Resources(memory_swap_bytes=-1),
        Resources(nano_cpus=2_000_000_000),
        Resources(cpu_quota_us=-1),
        Resources(cpuset_cpus="0,1", cpuset_mems="0"),
        Resources(pids_max=-1),
    ],
)
def test_supported_limits_are_accepted_without_warnings(asked: Resources) -> None:
    assert accepted(asked, MACHINE) == (asked, ())


def test_what_the_machine_cannot_do_is_a_warning() -> None:
    poor = Machine(cpus="0", swap_limit=False, oom_kill_disable=False)

    kept, warnings = accepted(Resources(memory_bytes=6 * MIB, oom_kill_disable=True), poor)

    assert kept == Resources(memory_bytes=6 * MIB, memory_swap_bytes=-1)

    assert [warning.split(".")[0] for warning in warnings] == [
        "Your kernel does not support swap limit capabilities or the cgroup is not mounted",
        "Your kernel does not support OomKillDisable",
    ]


def test_cpus_are_a_quota_of_the_usual_period() -> None:
    half = Resources(nano_cpus=500_000_000)

    assert (half.quota_us, half.period_us) == (50_000, 100_000)


@pytest.mark.parametrize(
    ("asked", "together"),
    [
        (Resources(memory_bytes=6 * MIB), 12 * MIB),
        (Resources(memory_bytes=6 * MIB, memory_swap_bytes=6 * MIB), 6 * MIB),
        (Resources(memory_bytes=6 * MIB, memory_swap_bytes=-1), -1),
    ],
)
def test_memory_and_swap_together_are_twice_the_memory_unless_said(
    asked: Resources, together: int
) -> None:
    assert asked.memory_and_swap_bytes == together


def test_lists_are_read_as_the_kernel_writes_them() -> None:
    assert parse_list("0-2,7") == {0, 1, 2, 7}
    assert parse_list("") == frozenset()
    for nonsense in ("-1", "1-", "3-1", "1;2", "0x1"):
        with pytest.raises(ValueError, match="not a"):
            parse_list(nonsense)
