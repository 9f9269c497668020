"""Test what ``docker info`` says about limits."""

from msgspec.structs import replace

from engine.api.system.machine import limits_json, warnings_json
from engine.domain.container.resources import Machine

WHOLE = Machine(cpus="0-1", kernel_memory_tcp=True)


def test_a_machine_that_has_everything_is_not_warned_about() -> None:
    assert warnings_json(WHOLE, "1", forwards_ipv4=True) == []
    assert all(limits_json(WHOLE).values())


def test_limits_that_version_2_dropped_are_not_warned_about() -> None:
    modern = replace(WHOLE, kernel_memory_tcp=False, oom_kill_disable=False)

    assert warnings_json(modern, "2", forwards_ipv4=True) == []
    assert warnings_json(modern, "1", forwards_ipv4=True) == [
        "WARNING: No kernel memory TCP limit support",
        "WARNING: No oom kill disable support",
    ]


def test_missing_weights_are_warned_about_in_version_2_only() -> None:
    light = replace(WHOLE, block_weight=False, swap_limit=False)

    assert warnings_json(light, "1", forwards_ipv4=True) == ["WARNING: No swap limit support"]
    assert warnings_json(light, "2", forwards_ipv4=True)[1:] == [
        "WARNING: No blkio weight support",
        "WARNING: No blkio weight_device support",
    ]
    assert limits_json(light)["SwapLimit"] is False


def test_networks_without_forwarding_are_warned_about() -> None:
    assert warnings_json(WHOLE, "1", forwards_ipv4=False) == [
        "WARNING: IPv4 forwarding is disabled"
    ]
