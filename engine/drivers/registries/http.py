"""Send one HTTP request to a registry and read the whole answer, within a time limit."""

import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import httptools
import trio

from engine.domain.image.registry import RegistryUnavailable

REQUEST_S: Final = 15.0
"""Time limit from the name lookup to the last byte of the answer: as long as Docker waits."""
_ANSWER_BYTES_MAX: Final = 1 << 20
_RECEIVE_BYTES: Final = 64 << 10
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response."""

    status: int
    challenges: tuple[str, ...]
    """The value of every ``WWW-Authenticate`` header."""
    body: bytes

    @property
    def status_text(self) -> str:
        """Return status and phrase, such as ``401 Unauthorized``."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request. ``headers`` and ``body`` may hold secrets."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    tls: ssl.SSLContext | None = None

    @property
    def target(self) -> str:
        """Return the request target: path and query."""
        parts = urlsplit(self.url)
        return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"

    def encode(self) -> bytes:
        """Encode the request, RFC 9112; the connection is closed after it."""
        lines = [
            f"{self.method} {self.target} HTTP/1.1",
            f"Host: {urlsplit(self.url).netloc}",
            "User-Agent: shipslog",
            "Accept: application/json",
            "Connection: close",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        assert not any("\r" in line or "\n" in line for line in lines), "checked before"
        return "\r\n".join((*lines, "", "")).encode() + self.body


async def ask(question: Question) -> Answer:
    """Send a request and read the answer.

    Raises:
        RegistryUnavailable: there is no answer; the message gives the reason in Docker's words.
    """
    act = f'{question.method.capitalize()} "{question.url}"'
    try:
        with trio.fail_after(REQUEST_S):
            stream = await _connected(question)
            try:
                return await _converse(stream, question)
            finally:
                await trio.aclose_forcefully(stream)
    except trio.TooSlowError:
        raise RegistryUnavailable(f"{act}: context deadline exceeded") from None
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as malformed:
        raise RegistryUnavailable(f"{act}: malformed HTTP response") from malformed
    except (OSError, trio.BrokenResourceError) as failed:
        raise RegistryUnavailable(f"{act}: {_in_gos_words(failed, question.url)}") from failed


async def _connected(question: Question) -> trio.abc.Stream:
    parts = urlsplit(question.url)
    assert parts.hostname is not None, "checked before"
    plain = await trio.open_tcp_stream(parts.hostname, parts.port or _PORTS[parts.scheme])
    if question.tls is None:
        return plain
    return trio.SSLStream(
        plain, question.tls, server_hostname=parts.hostname, https_compatible=True
    )


async def _converse(stream: trio.abc.Stream, question: Question) -> Answer:
    await stream.send_all(question.encode())
    reading = _Reading()
    parser = httptools.HttpResponseParser(reading)
    left_bytes = _ANSWER_BYTES_MAX
    while not reading.ended:
        received = bytes(await stream.receive_some(_RECEIVE_BYTES))
        left_bytes -= len(received)
        if left_bytes < 0:
            raise httptools.HttpParserError("larger than any registry's answer")
        if not received:
            break
        parser.feed_data(received)
    if not reading.head_ended:
        raise trio.BrokenResourceError("EOF")
    return Answer(parser.get_status_code(), tuple(reading.challenges), b"".join(reading.body))


class _Reading:
    """Collects the answer from the parser's callbacks."""

    def __init__(self) -> None:
        self.challenges: list[str] = []
        self.body: list[bytes] = []
        self.head_ended = False
        self.ended = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"www-authenticate":
            self.challenges.append(value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        self.head_ended = True

    def on_body(self, part: bytes) -> None:
        self.body.append(part)

    def on_message_complete(self) -> None:
        self.ended = True


def _in_gos_words(failed: BaseException, url: str) -> str:
    """Return why there is no answer, in the words of Docker's client library."""
    host = urlsplit(url).hostname
    for cause in _causes(failed):
        match cause:
            case ssl.SSLCertVerificationError(verify_message=reason):
                return f"tls: failed to verify certificate: {reason}"
            case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "HTTP_REQUEST"):
                return "http: server gave HTTP response to HTTPS client"
            case ssl.SSLError():
                return f"tls: {cause.reason or cause}"
            case socket.gaierror():
                return f"dial tcp: lookup {host}: no such host"
            case OSError(errno=int() as number):
                return f"dial tcp {urlsplit(url).netloc}: connect: {os.strerror(number).lower()}"
    return "EOF"


def _causes(error: BaseException | None) -> list[BaseException]:
    """Return an error and its causes, the outermost first, including the members of groups."""
    if error is None:
        return []
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return [error, *(cause for member in (*members, error.__cause__) for cause in _causes(member))]
