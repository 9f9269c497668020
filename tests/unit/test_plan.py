"""Test which actions are planned for a container in each phase, for each observation."""

from dataclasses import replace
from signal import SIGTERM
from typing import Any

import pytest

from engine.domain.container.events import Order, OrderKind, ProcessIdentity
from engine.domain.container.phases import Phase
from engine.domain.container.resources import Resources
from engine.domain.container.spec import PortBinding, RestartPolicy, Spec
from engine.domain.container.state import Container
from engine.domain.container.update import UpdateRequested
from engine.domain.exec.state import Exec, ExecPhase, ExecSpec
from engine.domain.ids import ContainerId, ExecId, ImageId, NetworkId, SandboxId
from engine.ports.actions import (
    Action,
    ApplyLimits,
    Connect,
    Disconnect,
    Freeze,
    KillEverything,
    Launch,
    PrepareCgroup,
    PrepareRun,
    PrepareSandbox,
    PublishPorts,
    RemoveBundle,
    RemoveCgroup,
    RemoveDirectory,
    RemoveSandbox,
    Signal,
    StartExec,
    Thaw,
    UnpublishPorts,
    UpdateFiles,
)
from engine.ports.observation import Observation, Presence
from engine.supervisor.plan import plan, stages

ID = ContainerId("c" * 64)
SPEC = Spec(image="busybox", image_id=ImageId("sha256:" + "1" * 64), command=("sleep",))
SANDBOX, OLD_SANDBOX = SandboxId("a" * 16), SandboxId("b" * 16)
PROCESS = ProcessIdentity(pid=7, start_ticks=70, boot_id="boot")
PORTS = (PortBinding(container_port=80, host_port=8080),)

NOTHING = Observation(boot_id="boot")
ALL = Observation(
    boot_id="boot",
    monitor_alive=True,
    process_alive=True,
    sandbox=Presence.RIGHT,
    cgroup=Presence.RIGHT,
    bundle=Presence.RIGHT,
    files=Presence.RIGHT,
    directory=Presence.RIGHT,
)
FROZEN = replace(ALL, frozen=True)
LEFT_OVER = replace(ALL, monitor_alive=False, process_alive=False)
"""After the end of a run."""

RESTING = (Phase.CREATED, Phase.EXITED, Phase.RESTARTING)
GOING = (Phase.REMOVING, Phase.DEAD)


def container(phase: Phase, **fields: Any) -> Container:
    """A container with a network namespace; one that runs has a process."""
    process = PROCESS if phase in (Phase.RUNNING, Phase.PAUSED) else None
    known = {"id": ID, "name": "c", "spec": SPEC, "created_ns": 1, "process": process}
    return Container(**{"sandbox": SANDBOX, **known, **fields}, phase=phase)


def planned(known: Container, observed: Observation, *execs: Exec) -> list[Action]:
    return list(plan(known, execs, observed))


@pytest.mark.parametrize(
    ("fields", "observed", "actions"),
    [
        ({}, NOTHING, [PrepareSandbox(), PrepareRun(), Launch()]),
        ({"sandbox": None}, NOTHING, [PrepareRun(), Launch()]),
        ({}, LEFT_OVER, [PrepareRun(), Launch()]),
        (
            {},
            replace(LEFT_OVER, sandbox=Presence.DAMAGED, cgroup=Presence.DAMAGED),
            [PrepareSandbox(), PrepareRun(), Launch()],
        ),
        ({"ports": PORTS}, LEFT_OVER, [PrepareRun(), PublishPorts(), Launch()]),
        (
            {"sandbox_before": OLD_SANDBOX},
            LEFT_OVER,
            [RemoveSandbox(OLD_SANDBOX), PrepareRun(), Launch()],
        ),
        ({}, ALL, []),
        ({}, replace(ALL, process_alive=False), []),
    ],
    ids=[
        "of nothing",
        "without a network",
        "all there",
        "damaged",
        "with ports",
        "after a run",
        "launched",
        "launched and not begun",
    ],
)
def test_a_start_prepares_what_is_missing_and_launches(
    fields: dict[str, Any], observed: Observation, actions: list[Action]
) -> None:
    assert planned(container(Phase.STARTING, **fields), observed) == actions


@pytest.mark.parametrize(
    ("changed", "actions"),
    [
        ({}, []),
        ({"sandbox": Presence.DAMAGED}, [PrepareSandbox()]),
        ({"sandbox": Presence.ABSENT}, [PrepareSandbox()]),
        ({"cgroup": Presence.DAMAGED}, [PrepareCgroup()]),
        ({"files": Presence.DAMAGED}, [UpdateFiles()]),
        ({"files": Presence.ABSENT, "cgroup": Presence.ABSENT}, [PrepareCgroup(), UpdateFiles()]),
        ({"monitor_alive": False}, [KillEverything()]),
        ({"monitor_alive": False, "process_alive": False}, []),
        ({"process_alive": False}, []),
        ({"bundle": Presence.ABSENT}, []),
    ],
    ids=str,
)
def test_what_runs_is_repaired(changed: dict[str, Any], actions: list[Action]) -> None:
    assert planned(container(Phase.RUNNING), replace(ALL, **changed)) == actions
    assert planned(container(Phase.PAUSED), replace(FROZEN, **changed)) == actions


def test_what_has_no_network_needs_no_sandbox() -> None:
    observed = replace(ALL, sandbox=Presence.ABSENT)

    assert planned(container(Phase.RUNNING, sandbox=None), observed) == []


LIMITS = Resources(pids_max=10)
ORDERS = [
    (Order(number=1, kind=OrderKind.SIGNAL, signal=SIGTERM), Signal(1, SIGTERM)),
    (Order(number=2, kind=OrderKind.PAUSE), Freeze(2)),
    (Order(number=3, kind=OrderKind.UNPAUSE), Thaw(3)),
    (
        Order(
            number=4,
            kind=OrderKind.UPDATE,
            update=UpdateRequested(order=4, resources=LIMITS, restart_policy=RestartPolicy()),
        ),
        ApplyLimits(4, LIMITS),
    ),
    (Order(number=5, kind=OrderKind.CONNECT, network=NetworkId("n")), Connect(5)),
    (Order(number=6, kind=OrderKind.DISCONNECT, network=NetworkId("n")), Disconnect(6)),
]


@pytest.mark.parametrize(("order", "action"), ORDERS, ids=[each.kind for each, _ in ORDERS])
def test_each_order_is_one_action(order: Order, action: Action) -> None:
    assert planned(container(Phase.RUNNING, orders=(order,)), ALL) == [action]


def test_orders_are_carried_out_as_they_came_and_before_repairs() -> None:
    orders, actions = zip(*ORDERS, strict=True)
    observed = replace(ALL, sandbox=Presence.DAMAGED, files=Presence.DAMAGED)

    found = planned(container(Phase.RUNNING, orders=orders), observed)

    assert found == [*actions, PrepareSandbox(), UpdateFiles()]


def test_limits_are_changed_of_a_cgroup_that_is_there() -> None:
    update, apply = ORDERS[3]
    observed = replace(ALL, cgroup=Presence.ABSENT)

    found = planned(container(Phase.RUNNING, orders=(update,)), observed)

    assert found[:2] == [PrepareCgroup(), apply]


def test_what_is_paused_stands_still_unless_something_else_is_ordered() -> None:
    unpause, thaw = ORDERS[2]

    assert planned(container(Phase.PAUSED), ALL) == [Freeze(0)]
    assert planned(container(Phase.PAUSED), FROZEN) == []
    assert planned(container(Phase.PAUSED, orders=(unpause,)), ALL) == [thaw]


def test_an_exec_is_started_while_its_container_runs() -> None:
    execs = {
        phase: Exec(id=ExecId(phase), container=ID, spec=ExecSpec(arguments=("ls",)), phase=phase)
        for phase in ExecPhase
    }
    start = StartExec(execs[ExecPhase.STARTING])

    assert planned(container(Phase.RUNNING), ALL, *execs.values()) == [start]
    assert planned(container(Phase.EXITED), NOTHING, *execs.values()) == []


SHARED = Spec(image="b", image_id=SPEC.image_id, command=("sleep",), pid_mode="host")


@pytest.mark.parametrize("phase", RESTING)
@pytest.mark.parametrize(
    ("fields", "observed", "actions"),
    [
        ({}, NOTHING, []),
        ({}, replace(NOTHING, directory=Presence.RIGHT), []),
        ({}, LEFT_OVER, [RemoveSandbox(SANDBOX), RemoveCgroup(), RemoveBundle()]),
        (
            {"ports": PORTS},
            LEFT_OVER,
            [UnpublishPorts(), RemoveSandbox(SANDBOX), RemoveCgroup(), RemoveBundle()],
        ),
        ({"ports": PORTS}, NOTHING, []),
        ({"sandbox": None}, LEFT_OVER, [RemoveCgroup(), RemoveBundle()]),
        ({}, replace(NOTHING, bundle=Presence.DAMAGED), [RemoveBundle()]),
        ({}, replace(LEFT_OVER, monitor_alive=True), []),
        ({}, replace(LEFT_OVER, process_alive=True), [KillEverything()]),
        (
            {"spec": SHARED, "sandbox": None},
            LEFT_OVER,
            [KillEverything(), RemoveCgroup(), RemoveBundle()],
        ),
        ({"spec": SHARED}, NOTHING, []),
    ],
    ids=[
        "clean",
        "its directory stays",
        "after a run",
        "after a run with ports",
        "ports are withdrawn",
        "without a network",
        "half a bundle",
        "its monitor is ending",
        "its process lives",
        "others may live in the host's PID namespace",
        "another namespace has no process",
    ],
)
def test_what_does_not_run_leaves_nothing_but_its_directory(
    phase: Phase, fields: dict[str, Any], observed: Observation, actions: list[Action]
) -> None:
    assert planned(container(phase, **fields), observed) == actions


@pytest.mark.parametrize("phase", GOING)
@pytest.mark.parametrize(
    ("fields", "observed", "actions"),
    [
        ({}, NOTHING, [RemoveDirectory()]),
        ({}, ALL, [KillEverything()]),
        ({}, replace(ALL, monitor_alive=False), [KillEverything()]),
        ({"process": PROCESS}, replace(ALL, process_alive=False), [KillEverything()]),
        ({}, replace(ALL, process_alive=False), [KillEverything()]),
        ({}, replace(NOTHING, monitor_alive=True), []),
        (
            {"ports": PORTS},
            LEFT_OVER,
            [
                UnpublishPorts(),
                RemoveSandbox(SANDBOX),
                RemoveCgroup(),
                RemoveDirectory(),
            ],
        ),
    ],
    ids=[
        "clean",
        "all runs",
        "its monitor is dead",
        "its process was not reaped",
        "others may live in its cgroup",
        "its monitor is ending",
        "after a run",
    ],
)
def test_what_is_removed_is_killed_first_and_leaves_nothing(
    phase: Phase, fields: dict[str, Any], observed: Observation, actions: list[Action]
) -> None:
    assert planned(container(phase, **fields), observed) == actions


def test_what_independent_parts_left_is_taken_away_side_by_side() -> None:
    known = container(Phase.REMOVING, ports=PORTS)

    assert list(stages(planned(known, LEFT_OVER))) == [
        (UnpublishPorts(), RemoveSandbox(SANDBOX), RemoveCgroup()),
        (RemoveDirectory(),),
    ]
    assert list(stages([PrepareCgroup(), Launch()])) == [(PrepareCgroup(),), (Launch(),)]


def test_a_run_is_prepared_beside_its_sandbox_and_after_the_one_before_has_gone() -> None:
    known = container(Phase.STARTING, sandbox_before=OLD_SANDBOX)

    assert list(stages(planned(known, NOTHING))) == [
        (RemoveSandbox(OLD_SANDBOX),),
        (PrepareSandbox(), PrepareRun()),
        (Launch(),),
    ]
