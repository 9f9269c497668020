"""Test the launch order of a run: made from the container's state, before its bundle is written and
after.
"""

from pathlib import Path, PurePosixPath

import pytest

from engine.domain import naming
from engine.domain.container.log_config import NONE, LogConfig
from engine.domain.container.spec import Spec
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, ImageId
from engine.drivers.cgroups.v2 import V2Driver
from engine.drivers.runs.launch_orders import PlannedRun, planned_run

DATA, EXEC = Path("/nowhere/data"), Path("/nowhere/exec")
ID, IMAGE = ContainerId("c" * 64), ImageId("sha256:1")


def planned(spec: Spec, run: int = 1) -> PlannedRun:
    container = Container(id=ID, name="web", spec=spec, created_ns=1, run=run)
    cgroups = V2Driver(Path("/cgroup"), PurePosixPath("shipslog"))
    return planned_run(container, cgroups, data_root=DATA, exec_root=EXEC)


def test_an_order_names_the_bundle_and_the_cgroup_and_the_journal_is_that_of_the_run() -> None:
    order, journal = planned(Spec(image="busybox", image_id=IMAGE), run=3)

    assert order.bundle == str(naming.bundle_directory(EXEC, ID))
    assert (order.cgroup_into, order.cgroup_procs) == (f"/cgroup/shipslog/{ID}", [])
    assert order.oom_counters == [[f"/cgroup/shipslog/{ID}/memory.events", "oom_kill"]]
    assert journal == naming.journal_path(DATA, ID, 3)
    assert order.log["path"] == str(naming.log_path(DATA, ID))
    assert not order.attachments
    assert not order.joined


@pytest.mark.parametrize(
    ("mode", "is_born_into_one"), [("", True), (f"container:{'d' * 64}", True), ("host", False)]
)
def test_a_process_is_created_in_a_pid_namespace_unless_it_shares_the_hosts(
    mode: str, is_born_into_one: bool
) -> None:
    order = planned(Spec(image="busybox", image_id=IMAGE, pid_mode=mode)).order

    assert order.namespaces == ([{"type": "pid"}] if is_born_into_one else [])


def test_a_log_has_the_labels_that_were_asked_for_in_every_record() -> None:
    options = {"labels": "tier", "max-size": "5"}
    log = LogConfig(options=options, file_bytes_max=5, files_max=2)
    spec = Spec(image="busybox", image_id=IMAGE, log=log, labels={"tier": "1", "other": "2"})

    settings = planned(spec).order.log

    assert settings["attributes"] == '{"tier":"1"}'
    assert (settings["bytes_max"], settings["files_max"]) == (5, 2)


def test_log_driver_none_gives_the_monitor_no_log() -> None:
    order = planned(Spec(image="busybox", image_id=IMAGE, log=LogConfig(driver=NONE))).order

    assert not order.log["is_kept"]
