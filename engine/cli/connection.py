"""Speak HTTP/1.1 with the engine, on one connection: the part of the protocol that the Docker
Engine API uses.

``http.client`` takes 27 ms to import, half of what ``shipslog version`` may take in all. A
response's body ends by ``Content-Length``, by its last chunk, or with the connection. A request
with ``Upgrade: tcp`` may be answered ``101`` (or ``200``, by old engines): the connection then is a
raw stream, and what was read after the head comes first.
"""

import socket
from collections.abc import Iterable, Iterator
from typing import Final

from engine.cli.failures import Unreachable
from engine.cli.secrecy import TlsOptions

_RECEIVE_BYTES: Final = 65536
_HEAD_BYTES_MAX: Final = 256 * 1024
_TCP_PORT: Final = 2375
_TLS_PORT: Final = 2376
DEFAULT_HOST: Final = "unix:///run/shipslog/shipslog.sock"


class Connection:
    """A connected socket, with bytes that were received but not yet used."""

    def __init__(self, host: str, tls: TlsOptions | None = None) -> None:
        """Connect; ``tls`` is for hosts on the network.

        Raises:
            Unreachable: the engine does not listen at ``host``, or the address is invalid.
        """
        self.host = host
        self.socket = _connect(host, tls)
        self.unread = b""

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self.socket.close()

    def is_open(self) -> bool:
        """True if the engine still holds its end. Checked before a reuse, because a request is
        never sent twice.
        """
        try:
            self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def send(
        self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes | None
    ) -> None:
        """Send a request whose body, if any, is complete."""
        length = [("Content-Length", str(len(body)))] if body is not None else []
        self.socket.sendall(_head(method, target, [*headers, *length]) + (body or b""))

    def send_chunked(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]],
        blocks: Iterable[bytes],
    ) -> None:
        """Send a request whose body is produced while it is sent.

        An engine that refuses early answers and closes: a broken pipe here is no error, because the
        answer has the reason.
        """
        try:
            self.socket.sendall(_head(method, target, [*headers, ("Transfer-Encoding", "chunked")]))
            for block in blocks:
                if block:
                    self.socket.sendall(b"%x\r\n%b\r\n" % (len(block), block))
            self.socket.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive_head(self) -> "Response":
        """Return the next response's status and headers; informational ones (100) are skipped.

        Raises:
            Unreachable: the engine went away, or its answer is not HTTP.
        """
        while True:
            response = _parse_head(self, self._head_bytes())
            if response.status >= 200 or response.status == 101:
                return response

    def _head_bytes(self) -> bytes:
        while (end := self.unread.find(b"\r\n\r\n")) < 0:
            if len(self.unread) > _HEAD_BYTES_MAX or not self.fill():
                raise Unreachable(f"error during connect: {self.host}: no whole answer")
        head, self.unread = self.unread[:end], self.unread[end + 4 :]
        return head

    def fill(self) -> bool:
        """Receive more bytes; return False at the end of the stream."""
        try:
            block = self.socket.recv(_RECEIVE_BYTES)
        except OSError as error:
            raise Unreachable(f"error during connect: {self.host}: {error.strerror}") from error
        self.unread += block
        return bool(block)

    def take(self, count: int) -> bytes:
        """Return up to ``count`` bytes, at least one; empty only at the end of the stream."""
        if not self.unread and not self.fill():
            return b""
        block, self.unread = self.unread[:count], self.unread[count:]
        return block

    def take_line(self) -> bytes:
        """Return a line without its CR LF; at the end of the stream, the rest."""
        while (end := self.unread.find(b"\r\n")) < 0:
            if not self.fill():
                end = len(self.unread)
                break
        found, self.unread = self.unread[:end], self.unread[end + 2 :]
        return found


class Response:
    """An answer whose body is still to be read from its connection."""

    def __init__(self, connection: Connection, status: int, headers: dict[str, str]) -> None:
        self.connection = connection
        self.status = status
        self.headers = headers
        """By lower-case name."""
        self.complete = False
        """Whether the body was read to its end: then the connection may carry another request."""

    def blocks(self) -> Iterator[bytes]:
        """Yield the body as it comes.

        Raises:
            Unreachable: the connection broke before the body's end.
        """
        if self.status in (204, 304) or self.headers.get("content-length") == "0":
            self.complete = True
        elif "chunked" in self.headers.get("transfer-encoding", ""):
            yield from self._chunks()
        elif "content-length" in self.headers:
            yield from self._counted(int(self.headers["content-length"]))
            self.complete = True
        else:
            while block := self.connection.take(_RECEIVE_BYTES):
                yield block

    def body(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.blocks())

    def lines(self) -> Iterator[bytes]:
        """Yield the body line by line, each as soon as it is complete: streams of JSON objects."""
        held = b""
        for block in self.blocks():
            *whole, held = (held + block).split(b"\n")
            yield from filter(None, whole)
        if held.strip():
            yield held

    def _counted(self, count: int) -> Iterator[bytes]:
        while count:
            block = self.connection.take(count)
            if not block:
                raise Unreachable(f"error during connect: {self.connection.host}: answer cut short")
            count -= len(block)
            yield block

    def _chunks(self) -> Iterator[bytes]:
        while True:
            size_line = self.connection.take_line()
            if not size_line:
                raise Unreachable(f"error during connect: {self.connection.host}: answer cut short")
            size = int(size_line.split(b";")[0], 16)
            if size == 0:
                break
            yield from self._counted(size)
            self.connection.take_line()
        while self.connection.take_line():  # trailers, RFC 9112 section 7.1.2
            pass
        self.complete = True


def _head(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: shipslog"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _parse_head(connection: Connection, head: bytes) -> Response:
    status_line, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = status_line.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise Unreachable(f"error during connect: {connection.host}: not an HTTP server")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return Response(connection, int(rest[:3]), headers)


def _connect(host: str, tls: TlsOptions | None) -> socket.socket:
    scheme, _, address = host.rpartition("://")
    try:
        if scheme == "unix":
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connected.connect(address)
            except OSError:
                connected.close()
                raise
            return connected
        if scheme in ("tcp", "http", "https", ""):
            return _connect_tcp(address, tls)
    except PermissionError:
        raise Unreachable(
            f"permission denied while trying to connect to the Shipslog daemon at {host}"
        ) from None
    except OSError:
        raise Unreachable(
            f"Cannot connect to the Shipslog daemon at {host}. Is the shipslog daemon running?"
        ) from None
    raise Unreachable(f"unable to parse docker host `{host}`: unsupported protocol {scheme}")


def _connect_tcp(address: str, tls: TlsOptions | None) -> socket.socket:
    name, separator, port = address.rstrip("/").rpartition(":")
    if not separator or not port.isdigit():
        name, port = address.rstrip("/"), str(_TCP_PORT if tls is None else _TLS_PORT)
    name = name.strip("[]") or "127.0.0.1"
    connected = socket.create_connection((name, int(port)))
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is None:
        return connected
    from engine.cli.tls import tunnel

    return tunnel(connected, name, tls)
