"""Declare the port for health checks: run a command in a container, return how it ended."""

from dataclasses import dataclass
from typing import Protocol

from engine.domain.container.state import Container


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswer:
    """How a probe ended."""

    exit_code: int | None
    """None: it took too long and was killed."""
    output: str = ""


class Probes(Protocol):
    """Runs the commands of health checks inside containers."""

    async def probe(
        self, container: Container, arguments: tuple[str, ...], timeout_s: float
    ) -> ProbeAnswer | None:
        """Run a command inside a container without a record in the journal. It is ended when it is
        cancelled, and after a crash.

        Returns:
            None when the container itself has ended.

        Raises:
            DriverError: it can't be run, with Docker's words.
        """
        ...
