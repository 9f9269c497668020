"""Define what is mounted into a container: paths of the host, and tmpfs."""

from enum import StrEnum

import msgspec


class AskedBy(StrEnum):
    """The field of the request that asked for a mount; it is shown there again."""

    PATHS = "paths"
    """``Binds`` or ``Tmpfs``."""
    MOUNTS = "mounts"
    VOLUMES_FROM = "volumes_from"
    """A mount of another container."""


class ReadOnlyBelow(StrEnum):
    """What happens to the mounts below a read-only bind."""

    IF_POSSIBLE = "if_possible"
    """Read-only too if the kernel supports it: Docker's default since API 1.44."""
    NEVER = "never"
    ALWAYS = "always"
    """Read-only, or the container does not start."""


class Bind(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A path of the host at a path of the container (Docker's ``-v SOURCE:DESTINATION[:MODE]``)."""

    source: str
    destination: str
    mode: str = ""
    """The mode as it was written: words joined by commas."""
    read_only: bool = False
    read_only_below: ReadOnlyBelow = ReadOnlyBelow.IF_POSSIBLE
    propagation: str = "rprivate"
    recursive: bool = True
    """Include what is mounted below the source."""
    create_source: bool = True
    """Docker's ``-v`` makes a missing source directory, its ``--mount`` refuses unless it is asked
    to."""
    consistency: str = ""
    """Docker Desktop's; without effect on Linux."""
    asked_by: AskedBy = AskedBy.PATHS


class Tmpfs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A filesystem in memory at a path of the container, tmpfs(5)."""

    destination: str
    options: str = ""
    """As mount(8) has them (``--tmpfs PATH:OPTIONS``)."""
    size_bytes: int = 0
    mode: int = 0
    """Permission bits; 0: those of the directory that it is mounted over."""
    more: tuple[tuple[str, ...], ...] = ()
    """Further options, as words and pairs (``--mount``)."""
    read_only: bool = False
    consistency: str = ""
    asked_by: AskedBy = AskedBy.PATHS

    @property
    def words(self) -> tuple[str, ...]:
        """Return all options, one by one."""
        return (
            *(word for word in self.options.split(",") if word),
            *(("ro",) if self.read_only else ()),
            *((f"size={self.size_bytes}",) if self.size_bytes else ()),
            *((f"mode={self.mode:o}",) if self.mode else ()),
            *("=".join(pair) for pair in self.more),
        )
