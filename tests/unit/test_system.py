"""Test what the engine reports about the machine."""

import os
from pathlib import Path

import pytest

from engine.drivers.host.facts import filesystem_of, read_facts
from engine.runtime.mountinfo import parse_mounts

MOUNTS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:20 / /var rw - xfs /dev/sdb1 rw
23 22 0:21 / /var/lib/ship\\040log rw master:2 propagate_from:1 - btrfs /dev/sdc rw
24 21 0:22 / /tmp rw - tmpfs tmpfs rw
25 21 0:23 / /tmp rw - overlay overlay rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data", "ext4"),
        ("/var/lib/other", "xfs"),
        ("/variety", "ext4"),
        ("/var/lib/ship log/data", "btrfs"),
        ("/tmp/x", "overlay"),
    ],
)
def test_a_path_lies_on_the_innermost_mount_and_the_last_of_a_place(path: str, kind: str) -> None:
    assert filesystem_of(Path(path), parse_mounts(MOUNTS.encode())) == kind


def test_facts_are_those_of_this_machine() -> None:
    facts, kernel = read_facts(Path("/proc")), os.uname()

    assert (facts.name, facts.kernel_release, facts.architecture) == (
        kernel.nodename,
        kernel.release,
        kernel.machine,
    )
    assert facts.backing_filesystem == "proc"
    assert facts.memory_bytes > 0
    assert facts.open_descriptors > 2
