"""Test which device nodes may be opened."""

import os
from collections.abc import Callable
from pathlib import Path

from engine.domain.container.resources import DeviceRule, Resources
from engine.drivers.cgroups.detect import CgroupDriver
from tests.kernel.cgroup.members import (
    ID,
    Member,
)

KMSG = os.makedev(1, 11)


def device_answers(driver: CgroupDriver, tmp_path: Path) -> str:
    """Return whether a member may read null, make a node of kmsg, read it, write it."""
    node = tmp_path / "kmsg"

    def attempt(pipe: int) -> None:
        os.write(pipe, tried(lambda: os.open("/dev/null", os.O_RDWR)))
        os.write(pipe, tried(lambda: os.mknod(node, 0o600 | 0o020000, KMSG)))
        os.write(pipe, tried(lambda: os.open(node, os.O_RDONLY)))
        os.write(pipe, tried(lambda: os.open(node, os.O_WRONLY)))

    member = Member(driver, attempt)
    answers = b"".join(iter(member.says, b"")).decode()
    member.ended()
    node.unlink()
    return answers


def tried(attempt: Callable[[], object]) -> bytes:
    try:
        attempt()
    except PermissionError:
        return b"-"
    return b"+"


def test_only_the_usual_devices_may_be_opened_but_any_be_made(
    driver: CgroupDriver, tmp_path: Path
) -> None:
    driver.prepare(ID, Resources())

    assert device_answers(driver, tmp_path) == "++--"


def test_a_device_may_be_opened_in_the_ways_it_was_allowed(
    driver: CgroupDriver, tmp_path: Path
) -> None:
    rule = DeviceRule(kind="c", major=1, minor=11, access="r")
    driver.prepare(ID, Resources(device_rules=(rule,)))

    assert device_answers(driver, tmp_path) == "+++-"


def test_a_privileged_container_may_open_all_devices(driver: CgroupDriver, tmp_path: Path) -> None:
    driver.prepare(ID, Resources(), all_devices=True)

    assert device_answers(driver, tmp_path) == "++++"


def test_rules_may_change_while_a_container_exists(driver: CgroupDriver, tmp_path: Path) -> None:
    ban = DeviceRule(kind="c", major=1, minor=3, allow=False)
    driver.prepare(ID, Resources())
    driver.prepare(ID, Resources(), all_devices=True)
    assert device_answers(driver, tmp_path) == "++++"

    driver.prepare(ID, Resources(device_rules=(ban,)))

    assert device_answers(driver, tmp_path) == "-+--"
