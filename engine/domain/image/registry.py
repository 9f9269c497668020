"""Parse addresses of registries, and define the event of a login. Secrets are not recorded."""

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import ClassVar, Final
from urllib.parse import urlsplit

from engine.domain.event import Event
from engine.errors import EngineError, InvalidRequest, Kind, Unavailable

_HOST: Final = re.compile(r"[a-z0-9._:-]+")


class RegistryLoggedIn(Event, frozen=True, kw_only=True):
    """A registry accepted a user's credentials, which only the client keeps."""

    TYPE: ClassVar[str] = "host_registry_logged_in"
    registry: str
    """``HOST[:PORT]``."""
    username: str


EVENTS: Final[tuple[type[Event], ...]] = (RegistryLoggedIn,)
"""Events of the stream ``host`` that don't change its state."""


class LoginRefused(EngineError):
    """The registry, or the server that it trusts with logins, refuses the credentials."""

    kind = Kind.UNAUTHORIZED


class RegistryUnavailable(Unavailable):
    """The registry can't be reached, or its answer is not that of a registry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a user logs in with; never logged, never stored."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """The token that an earlier login returned in place of the password."""


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry; ``str()`` is the part of a URL between scheme and path."""

    host: str
    port: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Return whether the registry is on this machine, so that nobody else can read along:
        Docker's insecure registries.
        """
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_registry(address: str) -> Registry:
    """Parse a client's ``serveraddress``, which may be a URL.

    Raises:
        InvalidRequest: none is named.
    """
    if not address:
        raise InvalidRequest("no registry to log in to: name one, this engine has no default")
    url = address if address.startswith(("https://", "http://")) else f"https://{address}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as malformed:
        raise InvalidRequest(
            f'unable to parse server address: parse "{url}": {malformed}'
        ) from None
    if not host or not _HOST.fullmatch(host) or parts.username is not None:
        raise InvalidRequest(f'unable to parse server address: parse "{url}": invalid host name')
    return Registry(host, port)
