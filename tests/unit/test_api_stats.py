"""Test a container's usage, in the form that Docker's clients read."""

from dataclasses import replace

from engine.api.containers.show_stats import stats_json
from engine.domain.container.spec import Spec
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, ImageId
from engine.ports.usage import Counters, Interface, Sample
from engine.queries.usage import Reading

MIB = 1 << 20
CONTAINER = Container(
    id=ContainerId("c" * 64),
    name="web",
    spec=Spec(image="busybox", image_id=ImageId("sha256:1")),
    created_ns=1,
)
V1 = Counters(
    version=1,
    cpu_ns=30,
    cpu_user_ns=20,
    cpu_system_ns=10,
    cpu_per_core_ns=(10, 20),
    memory_bytes=5 * MIB,
    memory_max_bytes=6 * MIB,
    memory_limit_bytes=64 * MIB,
    memory_detail={"cache": 1, "total_cache": 1, "swap": 9},
    pids=3,
    pids_max=10,
    io_bytes={(8, 0, "Read"): 4096},
    io_operations={(8, 0, "Read"): 1},
)
SAMPLE = Sample(
    at_ns=1_000_000_000,
    counters=V1,
    interfaces={
        "eth0": Interface(
            received_bytes=1,
            received_packets=2,
            received_errors=3,
            received_dropped=4,
            sent_bytes=5,
            sent_packets=6,
            sent_errors=7,
            sent_dropped=8,
        )
    },
    machine_cpu_ns=1000,
    cpus_online=2,
    machine_memory_bytes=1024 * MIB,
)


def test_version_1_is_shown_in_version_1s_words() -> None:
    shown = stats_json(Reading(CONTAINER, SAMPLE))

    assert shown["cpu_stats"]["cpu_usage"] == {
        "total_usage": 30,
        "percpu_usage": (10, 20),
        "usage_in_kernelmode": 10,
        "usage_in_usermode": 20,
    }
    assert (shown["cpu_stats"]["system_cpu_usage"], shown["cpu_stats"]["online_cpus"]) == (1000, 2)
    assert shown["memory_stats"]["max_usage"] == 6 * MIB
    assert shown["memory_stats"]["stats"]["total_cache"] == 1
    assert "swap" not in shown["memory_stats"]["stats"]
    assert shown["pids_stats"] == {"current": 3, "limit": 10}
    assert shown["blkio_stats"]["io_serviced_recursive"] == [
        {"major": 8, "minor": 0, "op": "Read", "value": 1}
    ]
    assert shown["networks"]["eth0"]["tx_dropped"] == 8


def test_version_2_leaves_out_what_it_does_not_count() -> None:
    detail = {"anon": 1, "workingset_refault_anon": 2, "workingset_refault_file": 3, "zswap": 4}
    counters = replace(V1, version=2, cpu_per_core_ns=(), memory_detail=detail)

    shown = stats_json(Reading(CONTAINER, replace(SAMPLE, counters=counters)))

    assert "percpu_usage" not in shown["cpu_stats"]["cpu_usage"]
    assert not {"max_usage", "failcnt"} & shown["memory_stats"].keys()
    assert shown["memory_stats"]["stats"]["workingset_refault"] == 5
    assert "zswap" not in shown["memory_stats"]["stats"]
    assert shown["blkio_stats"]["io_service_bytes_recursive"]
    assert shown["blkio_stats"]["io_serviced_recursive"] is None


def test_the_reading_before_is_what_rates_are_made_of() -> None:
    later = replace(SAMPLE, at_ns=2_000_000_000, machine_cpu_ns=3000)

    shown = stats_json(Reading(CONTAINER, later, SAMPLE))

    assert (shown["preread"], shown["read"]) == ("1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z")
    assert shown["precpu_stats"]["system_cpu_usage"] == 1000


def test_nothing_that_runs_is_all_zero() -> None:
    shown = stats_json(Reading(CONTAINER))

    assert shown["read"] == shown["preread"] == "0001-01-01T00:00:00Z"
    assert shown["cpu_stats"] == shown["precpu_stats"]
    assert shown["cpu_stats"]["cpu_usage"]["total_usage"] == 0
    assert shown["memory_stats"] == shown["pids_stats"] == {}
    assert set(shown["blkio_stats"].values()) == {None}
    assert "networks" not in shown
    assert (shown["name"], shown["id"]) == ("/web", CONTAINER.id)


def test_a_memory_limit_above_the_machines_is_shown_as_the_machines() -> None:
    counters = replace(V1, memory_limit_bytes=1 << 50)

    shown = stats_json(Reading(CONTAINER, replace(SAMPLE, counters=counters)))

    assert shown["memory_stats"]["limit"] == 1024 * MIB
