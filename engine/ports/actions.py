"""What can be done to the kernel for one container. Each is idempotent: done again after a crash,
it changes nothing more.
"""

from dataclasses import dataclass

from engine.domain.container.resources import Resources
from engine.domain.exec.state import Exec
from engine.domain.ids import SandboxId


@dataclass(frozen=True, slots=True)
class PrepareSandbox:
    """Have the network namespace, with its link, address and route; repairs what is damaged."""


@dataclass(frozen=True, slots=True)
class PrepareCgroup:
    """Have the cgroups with their limits; processes that were moved out come back."""


@dataclass(frozen=True, slots=True)
class PrepareBundle:
    """Have the directories and everything that the launcher is told."""


@dataclass(frozen=True, slots=True)
class UpdateFiles:
    """Have the files in ``/etc`` of a container that runs tell of its networks and links as they
    are.
    """


@dataclass(frozen=True, slots=True)
class PublishPorts:
    """Have the firewall's elements for the published ports."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Start the monitor; done when its journal says that the process runs, or why not."""


@dataclass(frozen=True, slots=True)
class StartExec:
    """Hand an exec to the monitor; it knows one that it was given before."""

    execution: Exec


@dataclass(frozen=True, slots=True)
class Signal:
    """Send a signal to the first process; the monitor knows an order that it was given before."""

    order: int
    signal: int


@dataclass(frozen=True, slots=True)
class Freeze:
    """Stop all processes where they are."""

    order: int


@dataclass(frozen=True, slots=True)
class Thaw:
    """Let them go on."""

    order: int


@dataclass(frozen=True, slots=True)
class ApplyLimits:
    """Have these limits instead of the container's present ones; when the kernel refuses, the
    present ones hold again.
    """

    order: int
    resources: Resources


@dataclass(frozen=True, slots=True)
class Connect:
    """Have one more interface, or, when the kernel refuses, those that there were."""

    order: int


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Have one interface less."""

    order: int


@dataclass(frozen=True, slots=True)
class KillEverything:
    """End all processes, and the monitor if it does not end by itself."""


@dataclass(frozen=True, slots=True)
class UnpublishPorts:
    """Take the firewall's elements away."""


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    """Take a network namespace away, and with it the link."""

    sandbox: SandboxId


@dataclass(frozen=True, slots=True)
class RemoveCgroup:
    """Take the cgroups away."""


@dataclass(frozen=True, slots=True)
class RemoveBundle:
    """Take away what a run needed and the next will make anew."""


@dataclass(frozen=True, slots=True)
class RemoveDirectory:
    """Take away all that the container kept; the last thing done to it."""


Action = (
    PrepareSandbox
    | PrepareCgroup
    | PrepareBundle
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
