"""Define a request, as handlers see it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs

from engine.domain.event import Actor, Origin
from engine.errors import InvalidRequest, TooLarge

ApiVersion = tuple[int, ...]

BODY_BYTES_MAX: Final = 8 << 20
"""The limit of a body that is read whole: JSON. Archives are streamed, without a limit here."""

_FALSEHOODS: Final = frozenset({"", "0", "no", "false", "none"})
_INT64: Final = range(-(1 << 63), 1 << 63)


class Query:
    """The query of a request's target; a name may occur many times."""

    __slots__ = ("_values",)

    def __init__(self, text: str = "") -> None:
        self._values = parse_qs(text, keep_blank_values=True) if text else {}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        """Return the first value, or ``default`` if the name does not occur."""
        values = self._values.get(name)
        return values[0] if values else default

    def texts(self, name: str) -> tuple[str, ...]:
        """Return every value, in order."""
        return tuple(self._values.get(name, ()))

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a boolean as Docker reads it: everything is true except ``""``, ``0``, ``no``,
        ``false`` and ``none``.
        """
        values = self._values.get(name)
        return default if values is None else values[0].strip().lower() not in _FALSEHOODS

    def integer(self, name: str, default: int = 0) -> int:
        """Return a decimal number of 64 bits; ``default`` if the name does not occur or is
        empty.
        """
        number = self.number(name)
        return default if number is None else number

    def number(self, name: str, *, call: str = "ParseInt") -> int | None:
        """Return a decimal number of 64 bits; None if the name does not occur or is empty.

        Raises:
            InvalidRequest: in the words of Go's ``strconv`` and the ``call`` of it that clients are
                used to.
        """
        text = self.text(name)
        if not text:
            return None
        digits = text.removeprefix("-").removeprefix("+") if text[0] in "+-" else text
        if not (digits.isascii() and digits.isdigit()):
            raise InvalidRequest(f'strconv.{call}: parsing "{text}": invalid syntax')
        if len(digits) > 20 or (number := int(text)) not in _INT64:
            raise InvalidRequest(f'strconv.{call}: parsing "{text}": value out of range')
        return number


_NO_QUERY: Final = Query()


class Body(ABC):
    """A request's body, read at most once."""

    @abstractmethod
    async def next_chunk(self) -> bytes:
        """Return bytes as they arrive; ``b""`` at the end.

        Raises:
            InvalidRequest: the body is torn or badly framed.
        """

    async def read(self, bytes_max: int = BODY_BYTES_MAX) -> bytes:
        """Return the whole body.

        Raises:
            TooLarge: there is more of it than ``bytes_max``.
            InvalidRequest: the body is torn or badly framed.
        """
        chunks: list[bytes] = []
        size_bytes = 0
        while chunk := await self.next_chunk():
            size_bytes += len(chunk)
            if size_bytes > bytes_max:
                raise TooLarge(f"request body is larger than {bytes_max} bytes")
            chunks.append(chunk)
        return b"".join(chunks)


@dataclass(slots=True, eq=False)
class Request:
    """A request whose body may still be arriving."""

    method: str
    target: str
    """As sent: path and query, still percent-encoded."""
    headers: dict[str, str]
    """The headers by lower-case name; of a repeated header the last."""
    body: Body
    actor: Actor
    correlation: str
    """32 hexadecimal digits; the answer carries them as ``X-Request-Id``."""
    query: Query = _NO_QUERY
    params: dict[str, str] = field(default_factory=dict)
    """What the variable parts of the path matched."""
    version: ApiVersion = ()
    """The API version that the client asked for, or ours if it named none."""

    @property
    def origin(self) -> Origin:
        """Return the origin of the events that this request causes."""
        return Origin(actor=self.actor, correlation=self.correlation)

    @property
    def wants_upgrade(self) -> bool:
        """Return whether the client asks to leave HTTP by ``101 UPGRADED``; else a hijacked answer
        begins with ``200``.
        """
        return "upgrade" in self.headers
