"""Define what can be done to the kernel for one container. Each action is idempotent: done again
after a crash, it changes nothing more.
"""

from dataclasses import dataclass

from engine.domain.container.resources import Resources
from engine.domain.exec.state import Exec
from engine.domain.ids import SandboxId


@dataclass(frozen=True, slots=True)
class PrepareSandbox:
    """Make the network namespace with its link, address and route, or repair it."""


@dataclass(frozen=True, slots=True)
class PrepareCgroup:
    """Make the cgroups with their limits, and move processes that were moved out back in."""


@dataclass(frozen=True, slots=True)
class PrepareRun:
    """Make the cgroups with their limits, the directories, and the files that a run needs."""


@dataclass(frozen=True, slots=True)
class UpdateFiles:
    """Rewrite /etc/hosts and /etc/resolv.conf of a running container to match its current networks
    and links.
    """


@dataclass(frozen=True, slots=True)
class PublishPorts:
    """Add the firewall's elements for the published ports."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Start the monitor, and wait until its journal says that the process runs, or why not."""


@dataclass(frozen=True, slots=True)
class StartExec:
    """Send an exec to the monitor, which ignores one that it has received before."""

    execution: Exec


@dataclass(frozen=True, slots=True)
class Signal:
    """Send a signal to the first process; the monitor ignores an order that it has received
    before.
    """

    order: int
    signal: int


@dataclass(frozen=True, slots=True)
class Freeze:
    """Stop all processes where they are."""

    order: int


@dataclass(frozen=True, slots=True)
class Thaw:
    """Let all processes go on."""

    order: int


@dataclass(frozen=True, slots=True)
class ApplyLimits:
    """Replace the container's limits; when the kernel refuses, the present ones hold again."""

    order: int
    resources: Resources


@dataclass(frozen=True, slots=True)
class Connect:
    """Add an interface; when the kernel refuses, nothing is changed."""

    order: int


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Remove an interface."""

    order: int


@dataclass(frozen=True, slots=True)
class KillEverything:
    """End all processes, and the monitor if it does not end by itself."""


@dataclass(frozen=True, slots=True)
class UnpublishPorts:
    """Remove the firewall's elements of the container."""


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    """Remove a network namespace, and with it the link."""

    sandbox: SandboxId


@dataclass(frozen=True, slots=True)
class RemoveCgroup:
    """Remove the cgroups."""


@dataclass(frozen=True, slots=True)
class RemoveBundle:
    """Remove what a run needed and the next run makes anew."""


@dataclass(frozen=True, slots=True)
class RemoveDirectory:
    """Remove everything that the container kept, and what a run needed. This is the last action on
    a container.
    """


Action = (
    PrepareSandbox
    | PrepareCgroup
    | PrepareRun
    | UpdateFiles
    | PublishPorts
    | Launch
    | StartExec
    | Signal
    | Freeze
    | Thaw
    | ApplyLimits
    | Connect
    | Disconnect
    | KillEverything
    | UnpublishPorts
    | RemoveSandbox
    | RemoveCgroup
    | RemoveBundle
    | RemoveDirectory
)
