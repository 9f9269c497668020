"""Convert ``Mounts`` to the domain's values; a missing source is an error."""

import posixpath
from collections.abc import Iterable
from typing import Final

from engine.api.http.json_bodies import Int64, Wire
from engine.api.http.requests import ApiVersion
from engine.domain.container.mounts import AskedBy, Bind, ReadOnlyBelow, Tmpfs
from engine.errors import InvalidRequest, Unsupported

PROPAGATIONS: Final = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_LATER: Final = ("volume", "image", "cluster")
_READ_ONLY_BELOW_SINCE: Final[ApiVersion] = (1, 44)
"""In older versions a read-only bind did not affect the mounts below its source."""


class BindOptionsWire(Wire, frozen=True, kw_only=True):
    """Docker's BindOptions."""

    propagation: str | None = None
    non_recursive: bool | None = None
    create_mountpoint: bool | None = None
    read_only_non_recursive: bool | None = None
    read_only_force_recursive: bool | None = None


class TmpfsOptionsWire(Wire, frozen=True, kw_only=True):
    """Docker's TmpfsOptions."""

    size_bytes: Int64 | None = None
    mode: Int64 | None = None
    options: list[list[str]] | None = None


class DriverConfigWire(Wire, frozen=True, kw_only=True):
    """The driver of a volume for a mount."""

    name: str | None = None
    options: dict[str, str] | None = None


class VolumeOptionsWire(Wire, frozen=True, kw_only=True):
    """Docker's VolumeOptions: always refused, for there are no volumes yet."""

    no_copy: bool | None = None
    labels: dict[str, str] | None = None
    driver_config: DriverConfigWire | None = None
    subpath: str | None = None


class ImageOptionsWire(Wire, frozen=True, kw_only=True):
    """Docker's ImageOptions: always refused, for images can't be mounted yet."""

    subpath: str | None = None


class MountWire(Wire, frozen=True, kw_only=True):
    """Docker's Mount."""

    type: str | None = None
    source: str | None = None
    target: str | None = None
    read_only: bool | None = None
    consistency: str | None = None
    bind_options: BindOptionsWire | None = None
    volume_options: VolumeOptionsWire | None = None
    image_options: ImageOptionsWire | None = None
    tmpfs_options: TmpfsOptionsWire | None = None


def parse_mounts(
    wires: Iterable[MountWire], version: ApiVersion
) -> tuple[tuple[Bind, ...], tuple[Tmpfs, ...]]:
    """Return the mounts that are requested.

    Raises:
        InvalidRequest: in Docker's words.
        Unsupported: a volume or an image.
    """
    binds: list[Bind] = []
    tmpfs: list[Tmpfs] = []
    for wire in wires:
        kind, target = wire.type or "", wire.target or ""
        if kind not in ("bind", "tmpfs", *_LATER):
            raise bad_mount(kind, "mount type unknown")
        check_destination(kind, target)
        if kind == "bind":
            binds.append(_bind_of(wire, target, version))
        elif kind == "tmpfs":
            tmpfs.append(_tmpfs_of(wire, target))
        else:
            raise Unsupported(f'mounts of type "{kind}" are not supported yet')
    return tuple(binds), tuple(tmpfs)


def _bind_of(wire: MountWire, target: str, version: ApiVersion) -> Bind:
    source = wire.source or ""
    if not source:
        raise bad_mount("bind", "field Source must not be empty")
    _refuse_fields("bind", VolumeOptions=wire.volume_options, ImageOptions=wire.image_options)
    check_absolute("bind", source)
    options = wire.bind_options or BindOptionsWire()
    propagation = options.propagation or "rprivate"
    if propagation not in PROPAGATIONS:
        raise bad_mount("bind", f"invalid propagation mode: {propagation}")
    return Bind(
        source=source,
        destination=target,
        read_only=bool(wire.read_only),
        read_only_below=_read_only_below(wire, options, version),
        propagation=propagation,
        recursive=not options.non_recursive,
        create_source=bool(options.create_mountpoint),
        consistency=wire.consistency or "",
        asked_by=AskedBy.MOUNTS,
    )


def _read_only_below(
    wire: MountWire, options: BindOptionsWire, version: ApiVersion
) -> ReadOnlyBelow:
    if version < _READ_ONLY_BELOW_SINCE:
        return ReadOnlyBelow.NEVER if wire.read_only else ReadOnlyBelow.IF_POSSIBLE
    never, always = options.read_only_non_recursive, options.read_only_force_recursive
    conflicts = (
        (never and not wire.read_only, "!ReadOnly && BindOptions.ReadOnlyNonRecursive"),
        (always and not wire.read_only, "!ReadOnly && BindOptions.ReadOnlyForceRecursive"),
        (never and always, "ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive"),
        (
            always and options.non_recursive,
            "BindOptions.NonRecursive && BindOptions.ReadOnlyForceRecursive",
        ),
    )
    for found, what in conflicts:
        if found:
            raise bad_mount("bind", f"mount options conflict: {what}")
    if never:
        return ReadOnlyBelow.NEVER
    return ReadOnlyBelow.ALWAYS if always else ReadOnlyBelow.IF_POSSIBLE


def _tmpfs_of(wire: MountWire, target: str) -> Tmpfs:
    _refuse_fields(
        "tmpfs",
        BindOptions=wire.bind_options,
        VolumeOptions=wire.volume_options,
        ImageOptions=wire.image_options,
        Source=wire.source,
    )
    options = wire.tmpfs_options or TmpfsOptionsWire()
    if (options.size_bytes or 0) < 0:
        raise bad_mount("tmpfs", f"invalid size: {options.size_bytes}")
    if (options.mode or 0) < 0:
        raise bad_mount("tmpfs", f"invalid mode: {options.mode}")
    more = tuple(map(tuple, options.options or ()))
    if any(len(pair) not in (1, 2) for pair in more):
        raise bad_mount("tmpfs", "invalid option array length")
    tmpfs = Tmpfs(
        destination=target,
        size_bytes=options.size_bytes or 0,
        mode=options.mode or 0,
        more=more,
        read_only=bool(wire.read_only),
        consistency=wire.consistency or "",
        asked_by=AskedBy.MOUNTS,
    )
    check_tmpfs_words(tmpfs)
    return tmpfs


def _refuse_fields(kind: str, **fields: object) -> None:
    for name, value in fields.items():
        if value is not None and value != "":
            raise bad_mount(kind, f"field {name} must not be specified")


_FLAGS: Final = frozenset(
    {
        *("defaults", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec"),
        *("sync", "async", "dirsync", "remount", "mand", "nomand", "atime", "noatime"),
        *("diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime"),
        *PROPAGATIONS,
        *("unbindable", "runbindable"),
    }
)
_VALUES: Final = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"})


def check_tmpfs_words(tmpfs: Tmpfs) -> None:
    """Refuse an option that tmpfs does not have, tmpfs(5)."""
    for word in tmpfs.words:
        name, *value = word.split("=", 1)
        if name not in (_VALUES if value else _FLAGS):
            shown = " ".join(f'"{part}"' for part in (name, *value))
            raise InvalidRequest(f"invalid tmpfs option [{shown}]")


def check_destination(kind: str, target: str) -> None:
    """Refuse a path inside the container where nothing can be mounted."""
    if not target:
        raise bad_mount(kind, "field Target must not be empty")
    check_absolute(kind, target)
    if shortest(target) == "/":
        raise bad_mount(kind, "invalid specification: destination can't be '/'")


def check_absolute(kind: str, path: str) -> None:
    """Refuse a relative path."""
    if not path.startswith("/") or "\0" in path:
        raise bad_mount(kind, f"invalid mount path: '{path}' mount path must be absolute")


def shortest(path: str) -> str:
    """Return a path without ``.``, ``..`` and double slashes."""
    return posixpath.normpath(path).replace("//", "/")


def bad_mount(kind: str, why: str) -> InvalidRequest:
    """Return the error that Docker reports for a mount."""
    return InvalidRequest(f'invalid mount config for type "{kind}": {why}')
