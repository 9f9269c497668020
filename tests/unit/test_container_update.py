"""Test other limits for an existing container: what is merged, what is refused, and when it
applies.
"""

import pytest
from msgspec.structs import replace

from engine.domain.container.decisions import decide_exited, decide_update
from engine.domain.container.events import (
    Exited,
    ExitReason,
    ProcessIdentity,
    RemoveRequested,
    RestartScheduled,
)
from engine.domain.container.evolution import evolve
from engine.domain.container.phases import Phase
from engine.domain.container.resources import Resources
from engine.domain.container.spec import RestartPolicy, Spec
from engine.domain.container.state import Container
from engine.domain.container.update import (
    Updated,
    UpdateFailed,
    UpdateRefused,
    UpdateRequested,
    merged,
)
from engine.domain.ids import ContainerId, ImageId
from engine.errors import Conflict, EngineError, InvalidRequest

MIB = 1 << 20
ID = ContainerId("c" * 64)
STOPPED = Container(
    id=ID,
    name="web",
    spec=Spec(image="busybox", image_id=ImageId("sha256:1")),
    created_ns=1,
    phase=Phase.EXITED,
)
PROCESS = ProcessIdentity(pid=7, start_ticks=8, boot_id="b")
RUNNING = replace(STOPPED, phase=Phase.RUNNING, process=PROCESS, monitor=PROCESS)
ALWAYS = RestartPolicy(name="always")


def after(container: Container, *events: object) -> Container:
    for event in events:
        container = evolve(container, event, 0)  # type: ignore[arg-type]  # events, all of them
    return container


def test_what_is_not_named_stays() -> None:
    before = Resources(memory_bytes=64 * MIB, cpu_shares=5, pids_max=9, cpuset_cpus="0")

    found = merged(before, Resources(cpu_shares=7))

    assert found == replace(before, cpu_shares=7, memory_swap_bytes=128 * MIB)


def test_no_limit_of_processes_is_a_request_too() -> None:
    assert merged(Resources(pids_max=9), Resources(pids_max=-1)).pids_max == -1
    assert merged(Resources(pids_max=9), Resources()).pids_max == 9


def test_an_unlimited_swap_stays_unlimited() -> None:
    before = Resources(memory_bytes=64 * MIB, memory_swap_bytes=-1)

    assert merged(before, Resources(cpu_shares=7)).memory_swap_bytes == -1


@pytest.mark.parametrize(
    ("before", "asked", "kind", "words"),
    [
        (
            Resources(),
            Resources(memory_bytes=64 * MIB),
            Conflict,
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        ),
        (
            Resources(cpu_period_us=1000),
            Resources(nano_cpus=1),
            Conflict,
            "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set",
        ),
        (
            Resources(nano_cpus=1),
            Resources(cpu_quota_us=1000),
            Conflict,
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
        ),
        (
            Resources(),
            Resources(memory_swap_bytes=64 * MIB),
            InvalidRequest,
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        (
            Resources(memory_bytes=64 * MIB),
            Resources(memory_swap_bytes=32 * MIB),
            InvalidRequest,
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
    ],
)
def test_what_contradicts_is_refused_in_dockers_words(
    before: Resources, asked: Resources, kind: type[EngineError], words: str
) -> None:
    with pytest.raises(kind) as refusal:
        merged(before, asked)

    assert str(refusal.value) == words


def test_a_container_that_does_not_run_is_updated_at_once() -> None:
    events = decide_update(STOPPED, Resources(cpu_shares=5), ALWAYS)

    updated = after(STOPPED, *events)
    assert [type(event) for event in events] == [UpdateRequested, Updated]
    assert (updated.spec.resources.cpu_shares, updated.spec.restart_policy) == (5, ALWAYS)
    assert updated.orders == ()


def test_one_that_runs_is_updated_when_the_kernel_has_done_it() -> None:
    (requested,) = decide_update(RUNNING, Resources(cpu_shares=5), None)

    asked = after(RUNNING, requested)
    assert asked.spec == RUNNING.spec
    assert after(asked, Updated(order=1)).spec.resources.cpu_shares == 5


def test_a_refusal_of_the_kernel_changes_nothing_and_is_remembered() -> None:
    (requested,) = decide_update(RUNNING, Resources(cpu_shares=5), None)

    failed = after(RUNNING, requested, UpdateFailed(order=1, reason="no"))

    assert failed.spec == RUNNING.spec
    assert [(each.order, each.reason) for each in failed.refusals] == [(1, "no")]


@pytest.mark.parametrize(
    ("policy", "follows"), [(ALWAYS, RestartScheduled), (RestartPolicy(), None)]
)
def test_an_exit_before_the_update_completes_the_update(
    policy: RestartPolicy, follows: type | None
) -> None:
    """The new restart policy decides what follows."""
    (requested,) = decide_update(RUNNING, Resources(cpu_shares=5), policy)
    asked = after(RUNNING, requested)

    events = decide_exited(
        asked, code=1, signal=None, oom=False, reason=ExitReason.EXITED, boot_ns=9
    )

    kinds = [Exited, Updated, *([follows] if follows else [])]
    assert [type(event) for event in events] == kinds
    assert isinstance(events[0], Exited)
    assert events[0].superseded == ()
    assert after(asked, *events).spec.resources.cpu_shares == 5


def test_what_removes_itself_is_never_restarted() -> None:
    mayfly = replace(STOPPED, spec=replace(STOPPED.spec, auto_remove=True))

    with pytest.raises(UpdateRefused, match="because AutoRemove is enabled for the container"):
        decide_update(mayfly, Resources(), ALWAYS)
    assert decide_update(mayfly, Resources(), RestartPolicy())


def test_what_is_being_removed_is_not_updated() -> None:
    going = after(STOPPED, RemoveRequested())

    with pytest.raises(UpdateRefused, match=f"Cannot update container {ID}: container is marked"):
        decide_update(going, Resources(), None)
