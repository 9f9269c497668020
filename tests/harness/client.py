"""Speak the API over a Unix socket, without any of the engine's own code."""

import http.client
import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.timeouts import patient

Json = dict[str, Any]

TIMEOUT_S = 20.0


class Refused(AssertionError):
    """An answer with an unexpected status: the status and Docker's message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer."""

    status: int
    body: bytes
    headers: frozenset[str]
    """Their names, in lower case."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        try:
            return str(self.json["message"])
        except (ValueError, KeyError, TypeError):
            return self.body.decode(errors="replace")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("shipslog", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Api:
    """Sends requests to one daemon; a connection each, so that any number of threads may use it."""

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        timeout_s: float = TIMEOUT_S,
        **query: Any,
    ) -> Reply:
        """Send a request, and read the answer to its end.

        Raises:
            OSError, http.client.HTTPException: there is no answer, or an incomplete one.
        """
        target = path + ("?" + urlencode(query) if query else "")
        content, headers = body, {}
        if body is not None and not isinstance(body, bytes):
            content, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        connection = _UnixConnection(self.socket_path, patient(timeout_s))
        try:
            connection.request(method, target, content, headers)
            response = connection.getresponse()
            names = frozenset(name.lower() for name, _ in response.getheaders())
            return Reply(response.status, response.read(), names)
        finally:
            connection.close()

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Reply:
        """Send a request that must succeed.

        Raises:
            Refused: it did not.
        """
        reply = self.request(method, path, body, **query)
        if reply.status >= 400:
            raise Refused(reply.status, reply.message)
        return reply

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", path, **query).json

    def post(self, path: str, body: Any = None, **query: Any) -> Reply:
        return self.call("POST", path, body, **query)

    # --- Containers ---

    def create(self, name: str, *command: str, image: str = "busybox", **body: Any) -> str:
        wanted = {"Image": image, "Cmd": list(command), **body}
        return str(self.call("POST", "/containers/create", wanted, name=name).json["Id"])

    def run(self, name: str, *command: str, **body: Any) -> str:
        """Create and start a container."""
        identity = self.create(name, *command, **body)
        self.start(identity)
        return identity

    def start(self, reference: str) -> None:
        self.post(f"/containers/{reference}/start")

    def kill(self, reference: str, signal: str = "KILL") -> None:
        self.post(f"/containers/{reference}/kill", signal=signal)

    def stop(self, reference: str, timeout_s: int = 10) -> None:
        self.post(f"/containers/{reference}/stop", t=timeout_s)

    def remove(self, reference: str, *, force: bool = True) -> None:
        self.call("DELETE", f"/containers/{reference}", force=int(force))

    def wait(self, reference: str) -> int:
        return int(self.post(f"/containers/{reference}/wait").json["StatusCode"])

    def inspect(self, reference: str) -> Json:
        found: Json = self.get(f"/containers/{reference}/json")
        return found

    def status(self, reference: str) -> str:
        return str(self.inspect(reference)["State"]["Status"])

    def ps(self) -> list[Json]:
        found: list[Json] = self.get("/containers/json", all=1)
        return found

    def logs(self, reference: str) -> bytes:
        """Return the output of a container without a terminal, both streams together."""
        raw = self.call("GET", f"/containers/{reference}/logs", stdout=1, stderr=1).body
        return b"".join(payload for _, payload in frames(raw))

    # --- Execs ---

    def create_exec(self, reference: str, *command: str) -> str:
        wanted = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True}
        return str(self.post(f"/containers/{reference}/exec", wanted).json["Id"])

    def exec_detached(self, reference: str, *command: str) -> str:
        identity = self.create_exec(reference, *command)
        self.post(f"/exec/{identity}/start", {"Detach": True})
        return identity

    def exec_output(self, reference: str, *command: str) -> tuple[int, bytes]:
        """Return exit code and output of a command in a container."""
        identity = self.create_exec(reference, *command)
        with self.hijack(f"/exec/{identity}/start", {"Detach": False}) as stream:
            output = b"".join(payload for _, payload in stream.frames())
        return int(self.get(f"/exec/{identity}/json")["ExitCode"]), output

    # --- Streams ---

    def attach(self, reference: str, **query: Any) -> "Stream":
        wanted = {"stream": 1, "stdout": 1, "stderr": 1, "stdin": 1, **query}
        return self.hijack(f"/containers/{reference}/attach?{urlencode(wanted)}")

    def hijack(self, target: str, body: Any = None) -> "Stream":
        """Request a raw stream.

        Raises:
            Refused: the answer is not a stream.
        """
        content = b"" if body is None else json.dumps(body).encode()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(patient(TIMEOUT_S))
        connection.connect(str(self.socket_path))
        head = (
            f"POST {target} HTTP/1.1\r\nHost: shipslog\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        connection.sendall(head.encode() + content)
        received = b""
        while b"\r\n\r\n" not in received:
            block = connection.recv(65536)
            if not block:
                raise Refused(0, f"connection closed after {received!r}")
            received += block
        answer, _, rest = received.partition(b"\r\n\r\n")
        status = int(answer.split(b" ", 2)[1])
        if status not in (101, 200):
            connection.close()
            raise Refused(status, rest.decode(errors="replace"))
        return Stream(connection, rest)

    # --- History ---

    def history(self, about: str | None = None, **query: Any) -> list[Json]:
        """Return events in order, of one container (removed ones included) or of everything."""
        if about is not None:
            query["stream_of"] = about
        body = self.call("GET", "/shipslog/history", **query).body
        return [json.loads(line) for line in body.splitlines() if line.strip()]

    def event_types(self, about: str) -> list[str]:
        return [str(event["type"]) for event in self.history(about)]

    def verify(self) -> Json:
        verdict: Json = self.get("/shipslog/verify")
        return verdict


class Stream:
    """A connection that was taken over: Docker's frames in one direction, bytes in the other."""

    def __init__(self, connection: socket.socket, unread: bytes) -> None:
        self.socket = connection
        self._unread = unread

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, block: bytes) -> None:
        self.socket.sendall(block)

    def end_input(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Yield stream number and payload, until the other end closes."""
        while header := self._exactly(8):
            kind, size = struct.unpack(">BxxxL", header)
            yield kind, self._exactly(size)

    def read_until(self, wanted: bytes) -> bytes:
        """Return payloads up to the one that completes ``wanted``."""
        seen = b""
        for _, payload in self.frames():
            seen += payload
            if wanted in seen:
                return seen
        raise AssertionError(f"the stream ended before {wanted!r}: {seen!r}")

    def _exactly(self, count: int) -> bytes:
        while len(self._unread) < count:
            block = self.socket.recv(65536)
            if not block:
                assert not self._unread, f"torn frame: {self._unread!r}"
                return b""
            self._unread += block
        taken, self._unread = self._unread[:count], self._unread[count:]
        return taken


def frames(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the frames of Docker's multiplexed format."""
    at = 0
    while at < len(raw):
        kind, size = struct.unpack_from(">BxxxL", raw, at)
        yield kind, raw[at + 8 : at + 8 + size]
        at += 8 + size
