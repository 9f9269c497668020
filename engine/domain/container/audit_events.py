"""Define the events that leave a container as it is: somebody looked at it, or copied something in
or out.

They move no phase and ask nothing of the kernel; they are in the log because "who took the files?"
is a question, too.
"""

from typing import ClassVar, Final

from engine.domain.event import Event
from engine.domain.ids import ImageId


class Resized(Event, frozen=True, kw_only=True):
    """The size of the container's terminal was set, in characters."""

    TYPE: ClassVar[str] = "container_resized"
    height: int
    width: int


class ProcessesListed(Event, frozen=True, kw_only=True):
    """Somebody listed the container's processes (``docker top``)."""

    TYPE: ClassVar[str] = "container_processes_listed"


class Exported(Event, frozen=True, kw_only=True):
    """Somebody read the container's whole filesystem (``docker export``)."""

    TYPE: ClassVar[str] = "container_exported"


class PathRead(Event, frozen=True, kw_only=True):
    """Somebody copied files out of the container (``docker cp``)."""

    TYPE: ClassVar[str] = "container_path_read"
    path: str


class PathWritten(Event, frozen=True, kw_only=True):
    """Somebody copied files into the container (``docker cp``)."""

    TYPE: ClassVar[str] = "container_path_written"
    path: str


class Committed(Event, frozen=True, kw_only=True):
    """Somebody made an image of the container's files (``docker commit``)."""

    TYPE: ClassVar[str] = "container_committed"
    image: ImageId
    comment: str = ""
    reference: str = ""
    """The name that was given to the image, as people write it; empty for none."""


EVENTS: Final[tuple[type[Event], ...]] = (
    Resized,
    ProcessesListed,
    Exported,
    PathRead,
    PathWritten,
    Committed,
)
