"""Run an engine with scripted answers that remembers requests.

For the client's tests: a daemon that dies in the middle of an answer, or detaches, is hard to get
otherwise.
"""

import json
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
CHUNKED_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)


@dataclass
class Request:
    """A request of the client."""

    method: str
    target: str
    body: bytes
    socket: socket.socket

    @property
    def words(self) -> str:
        return f"{self.method} {self.target}"

    def answer(self, status: int, content: Any = None) -> None:
        payload = b"" if content is None else json.dumps(content).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(payload)}\r\n\r\n"
        self.socket.sendall(head.encode() + payload)

    def begin(self) -> None:
        """Send the head of an answer whose body comes later."""
        self.socket.sendall(CHUNKED_HEAD)

    def chunk(self, content: Any) -> None:
        payload = json.dumps(content).encode() + b"\n"
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(payload), payload))

    def end(self) -> None:
        self.socket.sendall(b"0\r\n\r\n")


Script = Callable[[Request], None]


def frame(stream: int, payload: bytes) -> bytes:
    """Build a piece of output in Docker's multiplexed format."""
    return struct.pack(">BxxxI", stream, len(payload)) + payload


@dataclass
class FakeEngine:
    """Listens at ``path``; the first script whose words a request begins with answers it."""

    path: Path
    scripts: dict[str, Script]
    asked: list[str] = field(default_factory=list)
    bodies: dict[str, Any] = field(default_factory=dict)
    _listener: socket.socket | None = None
    _threads: list[threading.Thread] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def host(self) -> str:
        return f"unix://{self.path}"

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.deafen()
        for thread in self._threads:
            thread.join(timeout=20)

    def listen(self) -> None:
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._spawn(self._accept, self._listener)

    def deafen(self) -> None:
        """Stop listening, as a killed daemon."""
        assert self._listener is not None
        self.path.unlink(missing_ok=True)
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def await_asked(self, words: str, times: int = 1) -> None:
        """Wait until a request that begins with ``words`` has come."""
        with self._changed:
            came = self._changed.wait_for(
                lambda: sum(asked.startswith(words) for asked in self.asked) >= times, timeout=20
            )
        assert came, f"{words} was never asked, but {self.asked}"

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._spawn(self._serve, connection)

    def _spawn(self, target: Callable[[socket.socket], None], argument: socket.socket) -> None:
        self._threads.append(threading.Thread(target=target, args=(argument,), daemon=True))
        self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb", buffering=0) as reader:
            self._converse(reader, connection)

    def _converse(self, reader: Any, connection: socket.socket) -> None:
        while (request := self._read(reader, connection)) is not None:
            with self._changed:
                self.asked.append(request.words)
                if request.body:
                    self.bodies[request.words] = request.body
                self._changed.notify_all()
            script = next((s for w, s in self.scripts.items() if request.words.startswith(w)), None)
            try:
                if script is None:
                    request.answer(404, {"message": f"no script for {request.words}"})
                else:
                    script(request)
            except OSError:
                return

    @staticmethod
    def _read(reader: Any, connection: socket.socket) -> Request | None:
        try:
            first = reader.readline().decode().split()
        except OSError:
            return None
        if len(first) < 2:
            return None
        length = 0
        while (line := reader.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = b""
        while len(body) < length:
            body += reader.read(length - len(body))
        return Request(first[0], first[1], body, connection)
