"""Send exact bytes to the engine, and accept any answer, also one without an end."""

import http.client
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.timeouts import patient

TIMEOUT_S: Final = 20.0
ENDLESS_S: Final = 0.05
"""How long to wait for the next part of a body that may never come, such as the next event."""
_BODY_READ_BYTES_MAX: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Response:
    """An answer."""

    status: int
    media_type: str
    body: bytes
    """The part of the body that came at once."""


def request_bytes(method: str, target: bytes, *headers: str, body: bytes = b"") -> bytes:
    """Build a request; its body's length is added to the headers."""
    lines = ["Host: docker", *headers, f"Content-Length: {len(body)}", "Connection: close"]
    return (
        method.encode()
        + b" "
        + target
        + b" HTTP/1.1\r\n"
        + "\r\n".join(lines).encode("latin-1")
        + b"\r\n\r\n"
        + body
    )


def ask(socket_path: Path, request: bytes, *, patience_s: float = TIMEOUT_S) -> Response | None:
    """Send a request and read its answer; return None if no head comes in time.

    Raises:
        OSError, http.client.HTTPException: the connection ended without an answer, or with one
            that is not HTTP.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patient(patience_s))
        connection.connect(str(socket_path))
        connection.sendall(request)
        response = http.client.HTTPResponse(connection, method=request.partition(b" ")[0].decode())
        try:
            response.begin()
        except TimeoutError:
            return None
        media_type = (
            response.headers.get_content_type() if "content-type" in response.headers else ""
        )
        if response.length is None:
            connection.settimeout(patient(ENDLESS_S))
        return Response(response.status, media_type, _body(response))


def _body(response: http.client.HTTPResponse) -> bytes:
    body = b""
    try:
        while len(body) < _BODY_READ_BYTES_MAX and (part := response.read1(65536)):
            body += part
    except TimeoutError:
        response.close()
    return body
