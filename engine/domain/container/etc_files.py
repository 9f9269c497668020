"""Compute ``/etc/hosts``, ``/etc/hostname`` and ``/etc/resolv.conf`` of a container.

The texts are Docker's, to the byte, for programs and their tests have grown to expect them.
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Final

_HOSTS: Final = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("ff00::0", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)
_FALLBACK_SERVERS: Final = ("8.8.8.8", "8.8.4.4")
"""Name servers if the host's are all on its loopback; Docker's choice."""
_NO_SEARCH: Final = (".",)
RESOLVER: Final = "127.0.0.11"
"""Where the engine's resolver answers inside a container; Docker's choice."""
_GATEWAY: Final = "host-gateway"


def hosts_text(
    extra_hosts: Iterable[str] = (),
    addresses: Iterable[str] = (),
    hostname: str = "",
    domainname: str = "",
    gateway: str = "",
    linked: Iterable[tuple[str, str]] = (),
) -> str:
    """Return a container's ``/etc/hosts``.

    Args:
        extra_hosts: ``NAME:ADDRESS`` (``--add-host``); the address may be of IPv6, or
            ``host-gateway``.
        addresses: the container's own, without prefix lengths.
        hostname: by which it finds itself there.
        domainname: appended for a second, longer name; may be part of ``hostname`` already.
        gateway: the address at which a container reaches the host: what ``host-gateway`` stands
            for.
        linked: addresses of other containers, and what they are called.
    """
    lines = [*_HOSTS, *(_extra(extra, gateway) for extra in extra_hosts), *linked]
    names = own_names(hostname, domainname)
    return _text([*lines, *((address, names) for address in addresses)])


def own_names(hostname: str, domainname: str) -> str:
    """Return the container's own names in its ``/etc/hosts``."""
    whole = f"{hostname}.{domainname}" if domainname else hostname
    short = whole.partition(".")[0]
    return f"{whole} {short}" if short != whole else whole


def updated_hosts_text(current: str, new: str, own: Iterable[str]) -> str:
    """Update ``/etc/hosts`` of a running container; lines of other programs stay where they
    are.

    Args:
        current: what the file says.
        new: what :func:`hosts_text` says now.
        own: what the names in the engine's lines that can change begin with: such lines go unless
            they are new.
    """
    ours = tuple(own)
    lines, due = current.splitlines(), new.splitlines()
    kept = [line for line in lines if line in due or not _begins(line, ours)]
    added = [line for line in due if line not in kept and _begins(line, ours)]
    return "".join(f"{line}\n" for line in (*kept, *added))


def _begins(line: str, names: tuple[str, ...]) -> bool:
    _, _, names_of_line = line.partition("\t")
    return any(names_of_line == each or names_of_line.startswith(f"{each} ") for each in names)


def hosts_of_host_text(host: str, extra_hosts: Iterable[str], gateway: str) -> str:
    """Return ``/etc/hosts`` of a container on the host's network: the host's own file, and what the
    caller adds.
    """
    ended = host if host.endswith("\n") or not host else f"{host}\n"
    return ended + _text(_extra(extra, gateway) for extra in extra_hosts)


def _text(lines: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{where}\t{names}\n" for where, names in lines)


def _extra(extra: str, gateway: str) -> tuple[str, str]:
    name, _, where = extra.partition(":")
    return gateway if where == _GATEWAY else where.removeprefix("[").removesuffix("]"), name


def hostname_text(hostname: str) -> str:
    """Return ``/etc/hostname``."""
    return f"{hostname}\n"


def resolv_conf_text(
    host: str,
    servers: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
) -> str:
    """Return ``/etc/resolv.conf`` of a container with a network namespace of its own;
    resolv.conf(5).

    What the caller gave counts; the rest is the host's. A server at the host's loopback can't be
    reached from inside and is left out; with none left, Docker's fallback is asked.

    Args:
        host: the host's file.
        servers: ``--dns``; also one at a loopback address, if it is requested.
        search: ``--dns-search``; ``.`` alone for none.
        options: ``--dns-opt``.
    """
    if not (servers or search or options):
        return _filtered(host)
    reachable = [server for server in _values(host, "nameserver") if not _is_loopback(server)]
    lines = []
    search_domains = search or _last(host, ("search", "domain"))
    if search_domains and tuple(search_domains) != _NO_SEARCH:
        lines.append(f"search {' '.join(search_domains)}")
    lines += [f"nameserver {server}" for server in servers or reachable or _FALLBACK_SERVERS]
    chosen_options = options or _last(host, ("options",))
    if chosen_options:
        lines.append(f"options {' '.join(chosen_options)}")
    return "".join(f"{line}\n" for line in lines)


def resolver_conf_text(host: str, search: Sequence[str] = (), options: Sequence[str] = ()) -> str:
    """Return ``/etc/resolv.conf`` of a container that finds others by name: it asks the engine's
    resolver, which forwards other names.

    A name without a dot is looked up as it is (``ndots:0``) unless the caller says otherwise.

    Args:
        host: the host's file.
        search: ``--dns-search``; ``.`` alone for none.
        options: ``--dns-opt``.
    """
    search_domains = tuple(search or _last(host, ("search", "domain")))
    chosen_options = tuple(options or _last(host, ("options",)))
    if not any(option.startswith("ndots:") for option in chosen_options):
        chosen_options += ("ndots:0",)
    lines = [f"search {' '.join(search_domains)}"] if search_domains not in ((), _NO_SEARCH) else []
    return "".join(
        f"{line}\n"
        for line in (*lines, f"nameserver {RESOLVER}", f"options {' '.join(chosen_options)}")
    )


def asks_resolver(text: str) -> bool:
    """Return whether a ``resolv.conf`` names the engine's resolver."""
    return RESOLVER in _values(text, "nameserver")


def servers_of(host: str, asked: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the servers for names outside the engine's networks: those of ``--dns``, else the
    host's.
    """
    return tuple(asked or _values(host, "nameserver"))


def _filtered(host: str) -> str:
    lines = [line for line in host.splitlines() if not _is_loopback(_server(line))]
    if not any(map(_server, lines)):
        lines += [f"nameserver {server}" for server in _FALLBACK_SERVERS]
    return "".join(f"{line}\n" for line in lines)


def only_loopback(host: str) -> bool:
    """Return whether all servers of a file are the host's own, as systemd-resolved writes it."""
    servers = _values(host, "nameserver")
    return bool(servers) and all(map(_is_loopback, servers))


def _server(line: str) -> str:
    words = line.split()
    return words[1] if len(words) > 1 and words[0] == "nameserver" else ""


def _values(host: str, keyword: str) -> list[str]:
    words = (line.split() for line in host.splitlines())
    return [line[1] for line in words if len(line) > 1 and line[0] == keyword]


def _last(host: str, keywords: tuple[str, ...]) -> list[str]:
    """Return the values of the last line with one of the keywords: only the last counts,
    resolv.conf(5).
    """
    words = (line.split() for line in reversed(host.splitlines()))
    return next((line[1:] for line in words if line and line[0] in keywords), [])


def _is_loopback(server: str) -> bool:
    try:
        return ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False
