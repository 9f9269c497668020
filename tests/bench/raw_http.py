"""Send HTTP over a Unix socket with a minimal client, so that the engine's time is measured, not
the client's.
"""

import json
import socket
from collections.abc import Mapping
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlencode

Json = Any  # what JSON holds


class Refused(Exception):
    """The engine answered with a status of 400 or more."""


class Wire(HTTPConnection):
    """One connection to an engine, kept for all requests."""

    def __init__(self, path: str) -> None:
        super().__init__("engine")
        self._path = path

    def connect(self) -> None:
        """Connect; called by the base class when there is no connection."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)

    def ask(self, method: str, target: str, body: Json = None) -> Json:
        """Send a request and read the whole answer; return None if it is empty.

        Raises:
            Refused: with the engine's message.
        """
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        self.request(method, target, content, headers)
        response = self.getresponse()
        answer = response.read()
        if response.status >= 400:
            raise Refused(f"{method} {target}: {response.status} {answer.decode().strip()}")
        return json.loads(answer) if answer.strip() else None

    def read(self, target: str) -> bytes:
        """GET a body."""
        self.request("GET", target)
        return self.getresponse().read()

    def download(self, target: str) -> int:
        """GET a body and discard it; return its length."""
        self.request("GET", target)
        response = self.getresponse()
        block, count = bytearray(1 << 20), 0
        while taken := response.readinto(block):
            count += taken
        return count


def hijacked(path: str, target: str, body: Json = None) -> socket.socket:
    """POST, and keep the connection as a stream in both directions; bytes that were sent early are
    still in it.

    Raises:
        Refused: the engine keeps speaking HTTP.
    """
    content = b"" if body is None else json.dumps(body).encode()
    taken = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    taken.connect(path)
    head = (
        f"POST {target} HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    taken.sendall(head.encode() + content)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):  # byte by byte: what follows belongs to the stream
        byte = taken.recv(1)
        if not byte:
            break
        answer += byte
    if b" 101 " not in answer[:16]:
        taken.close()
        raise Refused(f"POST {target}: {answer.decode(errors='replace')}")
    return taken


def filtered(path: str, filters: Mapping[str, list[str]], **query: str) -> str:
    """Return a target with Docker's ``filters``."""
    return f"{path}?{urlencode(query | {'filters': json.dumps(filters)}, quote_via=quote)}"
