"""What is mounted into a container: ``Binds``, ``Mounts`` and ``Tmpfs``, Docker JSON ⇄ domain."""

import posixpath
from collections.abc import Iterable, Mapping
from typing import Final

from engine.api.json_bodies import Int64, Json, Wire
from engine.domain.spec import Bind, Spec, Tmpfs
from engine.errors import InvalidRequest, Unsupported

_PROPAGATIONS: Final = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_IGNORED_MODES: Final = frozenset({"rw", "z", "Z", "nocopy", "consistent", "cached", "delegated"})
"""SELinux relabelling and what Docker Desktop knows: without effect on Linux without SELinux, there as here."""


class BindOptionsWire(Wire, frozen=True, kw_only=True):
    """Docker's BindOptions."""

    propagation: str | None = None
    non_recursive: bool | None = None
    create_mountpoint: bool | None = None


class TmpfsOptionsWire(Wire, frozen=True, kw_only=True):
    """Docker's TmpfsOptions."""

    size_bytes: Int64 | None = None
    mode: Int64 | None = None
    options: list[list[str]] | None = None


class MountWire(Wire, frozen=True, kw_only=True):
    """Docker's Mount."""

    type: str | None = None
    source: str | None = None
    target: str | None = None
    read_only: bool | None = None
    bind_options: BindOptionsWire | None = None
    tmpfs_options: TmpfsOptionsWire | None = None


def parse_binds(texts: Iterable[str]) -> tuple[Bind, ...]:
    """``SOURCE:DESTINATION[:MODE]``.

    Raises:
        InvalidRequest: with Docker's words.
        Unsupported: a named volume.
    """
    return tuple(map(_parse_bind, texts))


def _parse_bind(text: str) -> Bind:
    source, *rest = text.split(":")
    if not rest or len(rest) > 2 or not all((source, *rest)):
        if not rest and source.startswith("/"):
            raise Unsupported(f"volumes are not supported yet: '{text}'")
        raise InvalidRequest(f"invalid volume specification: '{text}'")
    destination = rest[0]
    if not destination.startswith("/"):
        raise InvalidRequest(
            f"invalid volume specification: '{text}': invalid mount config for type \"bind\":"
            f" invalid mount path: '{destination}' mount path must be absolute"
        )
    if not source.startswith("/"):
        raise Unsupported(f"volumes are not supported yet: '{text}'")
    modes = rest[1].split(",") if len(rest) == 2 else []
    return _checked(
        _with_modes(Bind(source=source, destination=destination), modes, rest[-1]), text
    )


def _with_modes(bind: Bind, modes: list[str], text: str) -> Bind:
    read_only, propagation = False, bind.propagation
    for mode in modes:
        if mode in _PROPAGATIONS:
            propagation = mode
        elif mode == "ro":
            read_only = True
        elif mode not in _IGNORED_MODES:
            raise InvalidRequest(f"invalid mode: {text}")
    return Bind(
        source=bind.source,
        destination=bind.destination,
        read_only=read_only,
        propagation=propagation,
    )


def _checked(bind: Bind, text: str) -> Bind:
    if _normal(bind.destination) == "/":
        raise InvalidRequest(
            f"invalid volume specification: '{text}': invalid mount config for type \"bind\": "
            "invalid specification: destination can't be '/'"
        )
    return bind


def parse_mounts(wires: Iterable[MountWire]) -> tuple[tuple[Bind, ...], tuple[Tmpfs, ...]]:
    """Docker's newer way, in which a missing source is an error."""
    binds: list[Bind] = []
    tmpfs: list[Tmpfs] = []
    for wire in wires:
        kind, target = wire.type or "", wire.target or ""
        if kind not in ("bind", "tmpfs", "volume", "image", "npipe", "cluster"):
            raise _bad_mount(kind, "mount type unknown")
        if not target:
            raise _bad_mount(kind, "field Target must not be empty")
        if not target.startswith("/"):
            raise _bad_mount(kind, f"invalid mount path: '{target}' mount path must be absolute")
        if _normal(target) == "/":
            raise _bad_mount(kind, "invalid specification: destination can't be '/'")
        if kind == "bind":
            binds.append(_bind_of(wire, target))
        elif kind == "tmpfs":
            tmpfs.append(_tmpfs_of(wire, target))
        else:
            raise Unsupported(f'mounts of type "{kind}" are not supported yet')
    return tuple(binds), tuple(tmpfs)


def _bind_of(wire: MountWire, target: str) -> Bind:
    source = wire.source or ""
    if not source:
        raise _bad_mount("bind", "field Source must not be empty")
    if not source.startswith("/"):
        raise _bad_mount("bind", f"invalid mount path: '{source}' mount path must be absolute")
    options = wire.bind_options or BindOptionsWire()
    propagation = options.propagation or "rprivate"
    if propagation not in _PROPAGATIONS:
        raise _bad_mount("bind", f"invalid propagation mode: {propagation}")
    if options.non_recursive:
        raise Unsupported("non-recursive bind mounts are not supported yet")
    return Bind(
        source=source,
        destination=target,
        read_only=bool(wire.read_only),
        propagation=propagation,
        create_source=bool(options.create_mountpoint),
    )


def _tmpfs_of(wire: MountWire, target: str) -> Tmpfs:
    if wire.source:
        raise _bad_mount("tmpfs", "field Source must not be specified")
    options = wire.tmpfs_options or TmpfsOptionsWire()
    words = ["ro"] if wire.read_only else []
    if options.size_bytes:
        words.append(f"size={options.size_bytes}")
    if options.mode:
        words.append(f"mode={options.mode:o}")
    words += ["=".join(pair) for pair in options.options or ()]
    return Tmpfs(destination=target, options=",".join(words))


def parse_tmpfs(paths: Mapping[str, str]) -> tuple[Tmpfs, ...]:
    """``{"/run": "size=64m"}``."""
    for path in paths:
        if not path.startswith("/"):
            raise InvalidRequest(f"invalid mount path: '{path}' mount path must be absolute")
        if _normal(path) == "/":
            raise InvalidRequest("invalid specification: destination can't be '/'")
    return tuple(Tmpfs(destination=path, options=options) for path, options in paths.items())


def check_distinct(destinations: Iterable[str]) -> None:
    """Refuse two mounts at one path."""
    seen: set[str] = set()
    for destination in map(_normal, destinations):
        if destination in seen:
            raise InvalidRequest(f"Duplicate mount point: {destination}")
        seen.add(destination)


def _normal(path: str) -> str:
    return posixpath.normpath(path).replace("//", "/")


def _bad_mount(kind: str, why: str) -> InvalidRequest:
    return InvalidRequest(f'invalid mount config for type "{kind}": {why}')


def binds_json(spec: Spec) -> list[str] | None:
    """``HostConfig.Binds``; those that came as ``Mounts`` are in :func:`mounts_asked_json`."""
    return [_bind_text(bind) for bind in spec.binds if bind.create_source] or None


def _bind_text(bind: Bind) -> str:
    modes = _modes(bind)
    return ":".join((bind.source, bind.destination, *((modes,) if modes else ())))


def _modes(bind: Bind) -> str:
    propagation = () if bind.propagation == "rprivate" else (bind.propagation,)
    return ",".join((*(("ro",) if bind.read_only else ()), *propagation))


def mounts_asked_json(spec: Spec) -> list[Json]:
    """``HostConfig.Mounts``."""
    return [
        {
            "Type": "bind",
            "Source": bind.source,
            "Target": bind.destination,
            "ReadOnly": bind.read_only,
        }
        for bind in spec.binds
        if not bind.create_source
    ]


def mount_points_json(spec: Spec) -> list[Json]:
    """``Mounts`` of a container: what is mounted where."""
    return [
        {
            "Type": "bind",
            "Source": bind.source,
            "Destination": bind.destination,
            "Mode": _modes(bind) if bind.create_source else "",
            "RW": not bind.read_only,
            "Propagation": bind.propagation,
        }
        for bind in spec.binds
    ]
