"""Compute names and environment variables of links within the default network.

They are older than user-defined networks, where a link is only one more name for the resolver.
Names, variables and their order are Docker's, because start scripts parse them.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from engine.domain.container.spec import DEFAULT_NETWORK, Spec
from engine.domain.container.state import Container
from engine.domain.ids import SHORT, ContainerId
from engine.errors import EngineError, InvalidRequest, Kind

_RANGE_LEAST: Final = 3
"""So many successive ports get variables as a range, too."""
_KEPT_TO_ITSELF: Final = frozenset({"HOME", "PATH"})
"""Variables of a linked container that others don't get."""

Find = Callable[[ContainerId], Container | None]


class Link(msgspec.Struct, frozen=True):
    """A container under the name that another container gives it."""

    target: ContainerId
    name: str
    """The target's name when the link was made."""
    alias: str

    @property
    def prefix(self) -> str:
        """Return the beginning of the link's variables."""
        return self.alias.upper().replace("-", "_")

    def __str__(self) -> str:
        """Return the form that a spec stores: neither part can contain a colon."""
        return f"{self.target}:{self.name}:{self.alias}"


class BrokenLink(EngineError):
    """The target of a link can't be reached."""

    kind = Kind.INTERNAL


def parse_link(text: str) -> tuple[str, str]:
    """Return container and alias of ``CONTAINER[:ALIAS]``.

    Raises:
        InvalidRequest: it is of another form.
    """
    if not text:
        raise InvalidRequest("empty string specified for links")
    name, separator, alias = text.partition(":")
    if ":" in alias or any(each.isspace() for each in alias):
        raise InvalidRequest(f"bad format for links: {text}")
    if not separator:
        return name, name
    if not alias:
        raise InvalidRequest(f"bad format for links: {text}")
    if name.startswith("/"):  # as ``inspect`` shows links: /target:/container/alias
        return name[1:], alias.rpartition("/")[2]
    return name, alias


def links_of(spec: Spec) -> tuple[Link, ...]:
    """Return a container's links; they count only within the default network."""
    if spec.network_mode != DEFAULT_NETWORK:
        return ()
    parts = (text.split(":") for text in spec.links)
    return tuple(Link(ContainerId(target), name, alias) for target, name, alias in parts)


def check_links(container: Container, find: Find) -> None:
    """Refuse a start whose links lead nowhere.

    Raises:
        BrokenLink: a target is gone, does not run, or is not in the default network.
    """
    for link in links_of(container.spec):
        target = find(link.target)
        if target is None or not target.is_running:
            name = target.name if target else link.name
            raise BrokenLink(
                f"Cannot link to a non running container: /{name} AS /{container.name}/{link.alias}"
            )
        if not _address(target):
            raise BrokenLink(
                f"Cannot link to /{target.name}, as it does not belong to the default network"
            )


def linked_hosts(container: Container, find: Find) -> Iterator[tuple[str, str]]:
    """Return the addresses and names of the existing targets, as lines of ``/etc/hosts``."""
    for link, target, address in _reached(container, find):
        yield address, " ".join(dict.fromkeys((link.alias, target.id[:SHORT], target.name)))


def linked_names(container: Container) -> Iterator[str]:
    """Return the beginnings of the names in those lines, whether or not a target exists."""
    for link in links_of(container.spec):
        yield f"{link.alias} {link.target[:SHORT]}"


def linked_environment(container: Container, find: Find) -> tuple[str, ...]:
    """Return the variables about targets: where their ports are, and their own environment."""
    return tuple(
        variable
        for link, target, address in _reached(container, find)
        for variable in _environment(container, link, target, address)
    )


def links_json(container: Container) -> list[str] | None:
    """Return the links as ``inspect`` shows them: ``/TARGET:/CONTAINER/ALIAS``."""
    found = [f"/{link.name}:/{container.name}/{link.alias}" for link in links_of(container.spec)]
    return found or None


def _reached(container: Container, find: Find) -> Iterator[tuple[Link, Container, str]]:
    for link in links_of(container.spec):
        target = find(link.target)
        if target is not None and target.is_running and (address := _address(target)):
            yield link, target, address


def _address(target: Container) -> str:
    found = (
        each.address or each.address6
        for each in target.desired_endpoints
        if each.name == DEFAULT_NETWORK
    )
    return next(found, "").partition("/")[0]


def _environment(
    container: Container, link: Link, target: Container, address: str
) -> Iterator[str]:
    prefix = link.prefix
    ports = sorted(map(_port, target.spec.exposed_ports))
    if ports:
        number, protocol = ports[0]
        yield f"{prefix}_PORT={protocol}://{address}:{number}"
    yield from _ranges(prefix, ports, address)
    for number, protocol in ports:
        name = f"{prefix}_PORT_{number}_{protocol.upper()}"
        yield f"{name}={protocol}://{address}:{number}"
        yield f"{name}_ADDR={address}"
        yield f"{name}_PORT={number}"
        yield f"{name}_PROTO={protocol}"
    yield f"{prefix}_NAME=/{container.name}/{link.alias}"
    for variable in target.spec.env:
        name, _, _ = variable.partition("=")
        if name not in _KEPT_TO_ITSELF:
            yield f"{prefix}_ENV_{variable}"


def _port(text: str) -> tuple[int, str]:
    number, _, protocol = text.partition("/")
    return int(number), protocol or "tcp"


def _ranges(prefix: str, ports: Iterable[tuple[int, str]], address: str) -> Iterator[str]:
    for run in _runs(ports):
        (first, protocol), (last, last_protocol) = run[0], run[-1]
        start = f"{prefix}_PORT_{first}_{protocol.upper()}"
        end = f"{prefix}_PORT_{first}_{last_protocol.upper()}"
        yield f"{start}_START={protocol}://{address}:{first}"
        yield f"{start}_ADDR={address}"
        yield f"{start}_PROTO={protocol}"
        yield f"{start}_PORT_START={first}"
        yield f"{end}_END={last_protocol}://{address}:{last}"
        yield f"{end}_PORT_END={last}"


def _runs(ports: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """Group ports into runs of successive numbers, whatever their protocols."""
    run: list[tuple[int, str]] = []
    for port in ports:
        if run and port[0] > run[-1][0] + 1:
            if len(run) >= _RANGE_LEAST:
                yield run
            run = []
        run.append(port)
    if len(run) >= _RANGE_LEAST:
        yield run
