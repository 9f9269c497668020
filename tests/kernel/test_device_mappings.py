"""Test device nodes of the host, as a container asks for them."""

import os
import stat
from pathlib import Path

import pytest

from engine.domain.container.resources import DeviceMapping, DeviceRequest
from engine.drivers.runs.device_mappings import mapped_devices, mapped_rules, refuse_requests
from engine.errors import DriverError

NULL = DeviceMapping(source="/dev/null", destination="/dev/nothing", access="rw")


def test_a_node_is_made_where_it_was_asked_for() -> None:
    (node,) = mapped_devices([NULL])

    assert (node["path"], node["type"], node["major"], node["minor"]) == ("/dev/nothing", "c", 1, 3)


def test_its_cgroup_permits_what_was_asked_for() -> None:
    (rule,) = mapped_rules([NULL])

    assert (rule.kind, rule.major, rule.minor, rule.access, rule.allow) == ("c", 1, 3, "rw", True)


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/zero")

    (node,) = mapped_devices([DeviceMapping(source=str(tmp_path / "link"), destination="/dev/z")])

    assert (node["path"], node["minor"]) == ("/dev/z", 5)


def test_a_directory_stands_for_the_device_nodes_in_it(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "file").write_text("no node")
    os.mknod(tmp_path / "below" / "one", stat.S_IFCHR | 0o600, os.makedev(1, 3))

    nodes = mapped_devices([DeviceMapping(source=str(tmp_path), destination="/dev/mine")])

    assert [(node["path"], node["fileMode"]) for node in nodes] == [("/dev/mine/below/one", 0o600)]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "no such file or directory"),
        ("file", "not a device node"),
        ("empty", "no such file or directory"),
    ],
)
def test_what_is_no_device_is_refused_in_dockers_words(
    name: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    source = str(tmp_path / name)

    with pytest.raises(DriverError) as refusal:
        mapped_devices([DeviceMapping(source=source, destination="/dev/x")])

    assert str(refusal.value) == (
        f'error gathering device information while adding custom device "{source}": {reason}'
    )


def test_device_requests_without_a_driver_are_refused() -> None:
    with pytest.raises(DriverError) as refusal:
        refuse_requests([DeviceRequest(capabilities=(("gpu", "compute"), ("x",)))])

    words = 'could not select device driver "" with capabilities: [[gpu compute] [x]]'
    assert str(refusal.value) == words
