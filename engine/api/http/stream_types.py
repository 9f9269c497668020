"""Negotiate the media type of standard streams."""

from typing import Final

from engine.api.http.operations import Bytes, flag, integer, text
from engine.api.http.requests import Request
from engine.errors import InvalidRequest
from engine.ports.streams import StreamOptions

RAW_STREAM: Final = "application/vnd.docker.raw-stream"
"""Bytes as they are: what a terminal shows."""
MULTIPLEXED_STREAM: Final = "application/vnd.docker.multiplexed-stream"
"""Frames: one byte for the stream, three of zero, four for the length, big endian; then the
bytes.
"""
STREAM: Final = Bytes((RAW_STREAM, MULTIPLEXED_STREAM))
"""The answer with a container's output; the terminal and the version decide its form."""
ATTACH_QUERY: Final = (
    flag("stream", "Connect the streams, now."),
    *(flag("stdin"), flag("stdout"), flag("stderr")),
    text("detachKeys", "The keys by which a client leaves a terminal."),
)
SIZE_QUERY: Final = (
    integer("h", "Rows.", required=True),
    integer("w", "Columns.", required=True),
)
_MULTIPLEXED_SINCE: Final = (1, 42)


def stream_media_type(request: Request, *, tty: bool) -> str:
    """Return the media type of a container's output; older clients know one for both forms."""
    multiplexed = not tty and request.version >= _MULTIPLEXED_SINCE
    return MULTIPLEXED_STREAM if multiplexed else RAW_STREAM


def attach_options(request: Request) -> StreamOptions:
    """Return the streams that an attach asks for."""
    query = request.query
    streaming = query.flag("stream")
    return StreamOptions(
        stdin=streaming and query.flag("stdin"),
        stdout=streaming and query.flag("stdout"),
        stderr=streaming and query.flag("stderr"),
        detach_keys=query.text("detachKeys"),
    )


def terminal_size(request: Request) -> tuple[int, int]:
    """Return height and width in characters.

    Raises:
        InvalidRequest: missing, or no sizes.
    """
    return _size(request, "h", "height"), _size(request, "w", "width")


def _size(request: Request, name: str, meaning: str) -> int:
    text = request.query.text(name)
    if not (text.isascii() and text.isdigit()):
        raise InvalidRequest(f'invalid resize {meaning} "{text}": invalid syntax')
    if len(text) > 5 or int(text) > 0xFFFF:  # struct winsize, ioctl_tty(2)
        raise InvalidRequest(f'invalid resize {meaning} "{text}": value out of range')
    return int(text)
