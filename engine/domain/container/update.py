"""Define updates of limits and restart policy: intent, outcomes, and refusals.

The limits of an intent are complete, not a difference, so that a crash loses nothing. The limits of
a running container hold when the kernel has them; those of a stopped one hold at once, and are set
at its next start.
"""

from typing import ClassVar, Final

import msgspec
from msgspec.structs import replace

from engine.domain.container.resources import Resources
from engine.domain.container.spec import RestartPolicy, Spec
from engine.domain.event import Event
from engine.errors import Conflict, InvalidRequest

REFUSALS_MAX: Final = 8
"""Failed orders that a container remembers, for the callers that wait."""


class UpdateRequested(Event, frozen=True, kw_only=True):
    """Intent: replace all limits and the restart policy by these."""

    TYPE: ClassVar[str] = "container_update_requested"
    order: int
    resources: Resources
    restart_policy: RestartPolicy


class Updated(Event, frozen=True, kw_only=True):
    """The limits hold, or will at the next start."""

    TYPE: ClassVar[str] = "container_updated"
    order: int


class UpdateFailed(Event, frozen=True, kw_only=True):
    """The kernel has refused the update; the limits from before hold again."""

    TYPE: ClassVar[str] = "container_update_failed"
    order: int
    reason: str


EVENTS: Final[tuple[type[Event], ...]] = (UpdateRequested, Updated, UpdateFailed)


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The order that failed, and why."""

    order: int
    reason: str


class UpdateRefused(Conflict):
    """An update was refused: Docker's ``Cannot update container …``."""


def merged(before: Resources, asked: Resources) -> Resources:
    """Return the limits after an update that names some of them; zero, empty and None name nothing.

    Raises:
        Conflict: what is asked for contradicts what is there already.
        InvalidRequest: the result makes no sense.
    """
    _check_cpu(before, asked)
    memory_swap_bytes = before.memory_and_swap_bytes
    has_memory_alone = asked.memory_bytes and not asked.memory_swap_bytes
    if (
        has_memory_alone and asked.memory_bytes > memory_swap_bytes
    ):  # unlimited (-1) included, as Docker has it
        raise Conflict(
            "Memory limit should be smaller than already set memoryswap limit, "
            "update the memoryswap at the same time"
        )
    after = replace(
        before,
        memory_bytes=asked.memory_bytes or before.memory_bytes,
        memory_swap_bytes=asked.memory_swap_bytes or memory_swap_bytes,
        memory_reservation_bytes=asked.memory_reservation_bytes or before.memory_reservation_bytes,
        cpu_shares=asked.cpu_shares or before.cpu_shares,
        nano_cpus=asked.nano_cpus or before.nano_cpus,
        cpu_quota_us=asked.cpu_quota_us or before.cpu_quota_us,
        cpu_period_us=asked.cpu_period_us or before.cpu_period_us,
        cpu_realtime_period_us=asked.cpu_realtime_period_us or before.cpu_realtime_period_us,
        cpu_realtime_runtime_us=asked.cpu_realtime_runtime_us or before.cpu_realtime_runtime_us,
        cpuset_cpus=asked.cpuset_cpus or before.cpuset_cpus,
        cpuset_mems=asked.cpuset_mems or before.cpuset_mems,
        pids_max=before.pids_max if asked.pids_max is None else asked.pids_max,
        blkio_weight=asked.blkio_weight or before.blkio_weight,
    )
    _check_swap(after)
    return after


def _check_cpu(before: Resources, asked: Resources) -> None:
    for name, old, new in (
        ("CPU Period", before.cpu_period_us, asked.cpu_period_us),
        ("CPU Quota", before.cpu_quota_us, asked.cpu_quota_us),
    ):
        if asked.nano_cpus and old:
            raise Conflict(
                f"Conflicting options: Nano CPUs cannot be updated as {name} has already been set"
            )
        if before.nano_cpus and new:
            raise Conflict(
                f"Conflicting options: {name} cannot be updated as NanoCPUs has already been set"
            )


def _check_swap(after: Resources) -> None:
    if after.memory_bytes == 0 and after.memory_swap_bytes > 0:
        raise InvalidRequest(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    if 0 < after.memory_swap_bytes < after.memory_bytes:
        raise InvalidRequest(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )


def updated(spec: Spec, request: UpdateRequested) -> Spec:
    """Return the spec after an update."""
    return replace(spec, resources=request.resources, restart_policy=request.restart_policy)
