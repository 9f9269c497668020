"""Describe a container's program, and its health check, once; make labels for the simulation and
scripts for a real shell of them."""

from dataclasses import dataclass
from signal import Signals
from typing import Final

SHELL: Final = ("/bin/sh", "-c")
COUNTED: Final = Signals.SIGUSR1
"""A signal that every program takes without ending; a real one writes a line for each."""
HEARD: Final = "heard"
"""The file, in the container's root, that has these lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a container's first process does."""

    obeys: tuple[Signals, ...] = (Signals.SIGTERM,)
    """Signals at which it ends, with 128 and their number as its exit code."""
    lasts_s: float | None = None
    """When it ends by itself; None is never."""
    code: int = 0
    """Its exit code if it ends by itself."""
    is_missing: bool = False
    check: "Check | None" = None
    """What the command of its health check does."""
    stdout: str = ""
    """What it prints first."""
    stderr: str = ""
    echoes: bool = False
    """It prints what is typed. It ends at no signal but SIGKILL."""

    @property
    def labels(self) -> dict[str, str]:
        """For the simulated machine."""
        labels = {"obeys": ",".join(each.name for each in self.obeys), "code": str(self.code)}
        if self.lasts_s is not None:
            labels["lasts_s"] = str(self.lasts_s)
        if self.is_missing:
            labels["missing"] = ""
        labels |= {"stdout": self.stdout, "stderr": self.stderr}
        return labels if self.check is None else labels | self.check.labels

    @property
    def command(self) -> tuple[str, ...]:
        """For a real container of busybox."""
        if self.is_missing:
            return ("nope",)
        traps = [f"trap 'exit {128 + each}' {each.name[3:]}" for each in self.obeys]
        traps.append(f"trap 'echo >> /{HEARD}' {COUNTED.name[3:]}")
        return (*SHELL, "; ".join((*traps, *self._prints, self._life)))

    @property
    def _prints(self) -> list[str]:
        printed = [f"printf '%s' '{self.stdout}'"] if self.stdout else []
        return [*printed, f"printf '%s' '{self.stderr}' >&2"] if self.stderr else printed

    @property
    def _life(self) -> str:
        if self.echoes:
            return "cat"
        if self.lasts_s is None:
            return "while :; do sleep 1000 & wait $!; done"
        return f"sleep {self.lasts_s} & wait $!; exit {self.code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What the command of a health check does."""

    lasts_s: float = 0.01
    code: int = 0
    """1 or 0."""
    is_missing: bool = False

    @property
    def labels(self) -> dict[str, str]:
        """For the simulated machine: of the container that is asked."""
        labels = {"probe_s": str(self.lasts_s)}
        if self.code:
            labels["healthy_after_s"] = "inf"
        if self.is_missing:
            labels["probe_missing"] = ""
        return labels

    @property
    def arguments(self) -> tuple[str, ...]:
        """For a real container of busybox."""
        if self.is_missing:
            return ("nope",)
        return (*SHELL, f"echo asked; sleep {self.lasts_s}; exit {self.code}")
