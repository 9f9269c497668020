"""Parse ``Binds``, ``Tmpfs`` and ``VolumesFrom``."""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from engine.api.containers.spec.body import HostConfigWire
from engine.api.containers.spec.mounts import (
    PROPAGATIONS,
    bad_mount,
    check_absolute,
    check_destination,
    check_tmpfs_words,
    parse_mounts,
    shortest,
)
from engine.api.containers.spec.namespace_modes import Lookup, known_container
from engine.api.http.requests import ApiVersion
from engine.domain.container.mounts import AskedBy, Bind, Tmpfs
from engine.errors import InvalidRequest, Unsupported

_ACCESS: Final = ("ro", "rw")
_LABELS: Final = ("z", "Z")
_COPIES: Final = ("nocopy",)
_CONSISTENCIES: Final = ("default", "consistent", "cached", "delegated")
"""Labels are for SELinux, consistencies for Docker Desktop: without effect elsewhere, as in
Docker."""
_GROUPS: Final = (_ACCESS, _LABELS, PROPAGATIONS, _COPIES, _CONSISTENCIES)
"""A mode may have one word of each of these groups."""

Mounted = tuple[tuple[Bind, ...], tuple[Tmpfs, ...]]


def all_mounts(host: HostConfigWire, lookup: Lookup, version: ApiVersion) -> Mounted:
    """Return all mounts; those of the request itself come before those of other containers.

    Raises:
        InvalidRequest: in Docker's words.
        Unsupported: volumes.
    """
    binds, tmpfs = parse_mounts(host.mounts or (), version)
    binds = (*map(_parse_bind, host.binds or ()), *binds)
    tmpfs = (*_parse_tmpfs(host.tmpfs or {}), *tmpfs)
    own = [shortest(each.destination) for each in binds]
    own += [shortest(each.destination) for each in tmpfs]
    for number, destination in enumerate(own):
        if destination in own[:number]:
            raise InvalidRequest(f"Duplicate mount point: {destination}")
    inherited = {
        shortest(mount.destination): mount
        for text in host.volumes_from or ()
        for mount in _from_container(text, lookup)
    }
    kept = [mount for destination, mount in inherited.items() if destination not in own]
    return (
        (*binds, *(mount for mount in kept if isinstance(mount, Bind))),
        (*tmpfs, *(mount for mount in kept if isinstance(mount, Tmpfs))),
    )


def _parse_bind(text: str) -> Bind:
    """Parse ``SOURCE:DESTINATION[:MODE]``."""
    source, *rest = text.split(":")
    if not rest or len(rest) > 2 or not all((source, *rest)):
        if not rest and source.startswith("/"):
            raise Unsupported(f"volumes are not supported yet: '{text}'")
        raise InvalidRequest(f"invalid volume specification: '{text}'")
    destination, mode = rest[0], rest[1] if len(rest) == 2 else ""
    words = _modes(mode)
    if not source.startswith("/"):
        raise Unsupported(f"volumes are not supported yet: '{text}'")
    try:
        check_absolute("bind", source)
        check_destination("bind", destination)
        if set(words) & set(_COPIES):
            raise bad_mount("bind", "field VolumeOptions must not be specified")
    except InvalidRequest as error:
        raise InvalidRequest(f"invalid volume specification: '{text}': {error}") from error
    return Bind(
        source=source,
        destination=destination,
        mode=mode,
        read_only="ro" in words,
        propagation=next((word for word in words if word in PROPAGATIONS), "rprivate"),
    )


def _modes(mode: str) -> tuple[str, ...]:
    words = tuple(mode.split(",")) if mode else ()
    counts = [sum(word in group for word in words) for group in _GROUPS]
    if sum(counts) != len(words) or any(count > 1 for count in counts):
        raise InvalidRequest(f"invalid mode: {mode}")
    return words


def _parse_tmpfs(paths: Mapping[str, str]) -> Iterator[Tmpfs]:
    """Parse ``{"/run": "size=64m"}``."""
    for path, options in paths.items():
        if not path.startswith("/") or "\0" in path:
            raise InvalidRequest(f"invalid mount path: '{path}' mount path must be absolute")
        if shortest(path) == "/":
            raise InvalidRequest("invalid specification: destination can't be '/'")
        tmpfs = Tmpfs(destination=path, options=options)
        check_tmpfs_words(tmpfs)
        yield tmpfs


def _from_container(text: str, lookup: Lookup) -> Iterator[Bind | Tmpfs]:
    """Return the mounts that ``CONTAINER[:MODE]`` means: all that the container has, except those
    of its ``--tmpfs``, as in Docker.
    """
    if not text:
        raise InvalidRequest("volumes-from specification cannot be an empty string")
    reference, _, mode = text.partition(":")
    words = _modes(mode)
    if set(words) & {*PROPAGATIONS, *_COPIES}:
        raise InvalidRequest(f"invalid mode: {mode}")
    if not reference:
        raise InvalidRequest('invalid name or ID supplied: ""')
    owner = known_container(reference, lookup).spec
    read_only, asked_by = "ro" in words, AskedBy.VOLUMES_FROM
    for bind in owner.binds:
        yield replace(bind, mode="", read_only=bind.read_only or read_only, asked_by=asked_by)
    for tmpfs in owner.tmpfs:
        if tmpfs.asked_by is not AskedBy.PATHS:
            yield replace(tmpfs, read_only=tmpfs.read_only or read_only, asked_by=asked_by)
