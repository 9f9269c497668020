"""Parse and build image configs; the digest is the image's ID (OCI image-spec, config.md).

Docker writes the same document with a few fields more. Reading takes both; writing (for ``import``)
follows Docker, byte for byte where that is possible, so that tools which compare configs see
nothing new.
"""

import hashlib
from typing import Any

import msgspec
from msgspec.structs import replace

from engine.domain.ids import ChainId, DiffId, Digest, ImageId
from engine.errors import InvalidRequest


class _Wire(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """An object with the names of the ``config`` object; unknown fields are ignored, as the
    specification asks.
    """


class Healthcheck(_Wire, frozen=True, kw_only=True, omit_defaults=True):
    """How to find out whether a container works; durations in nanoseconds, 0 for the default."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ImageConfig(_Wire, frozen=True, kw_only=True, omit_defaults=True):
    """What a container made from the image starts with. An empty value means the same as an absent
    one.
    """

    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    """``80/tcp``, sorted."""
    env: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    healthcheck: Healthcheck | None = None
    volumes: tuple[str, ...] = ()
    working_dir: str = ""
    entrypoint: tuple[str, ...] = ()
    on_build: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    stop_signal: str = ""
    stop_timeout: int | None = None
    shell: tuple[str, ...] = ()


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one layer, or an empty step between two, was made."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageLayer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of an image, as it is stored on this machine."""

    diff_id: DiffId
    chain_id: ChainId
    blob: Digest
    """The digest of the tar as it arrived, compressed or not."""
    blob_bytes: int
    size_bytes: int
    """The size of its files; a file with several names counts once."""


class ImageContents(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that an image consists of. It never changes: other content is another image."""

    id: ImageId
    config_bytes: int
    created: str
    """RFC 3339, as its maker wrote it; may be empty."""
    architecture: str
    os: str
    variant: str = ""
    author: str = ""
    comment: str = ""
    docker_version: str = ""
    config: ImageConfig = ImageConfig()
    history: tuple[HistoryEntry, ...] = ()
    layers: tuple[ImageLayer, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Return the size of the image unpacked, layers shared with others included."""
        return sum(layer.size_bytes for layer in self.layers)

    @property
    def chain(self) -> tuple[ChainId, ...]:
        """Return the chain IDs of the layers, the lowest first."""
        return tuple(layer.chain_id for layer in self.layers)


class _WireConfig(_Wire, frozen=True, kw_only=True):
    user: str | None = None
    exposed_ports: dict[str, Any] | None = None
    env: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    healthcheck: Healthcheck | None = None
    volumes: dict[str, Any] | None = None
    working_dir: str | None = None
    entrypoint: tuple[str, ...] | None = None
    on_build: tuple[str, ...] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | None = None
    stop_timeout: int | None = None
    shell: tuple[str, ...] | None = None


class _WireRootfs(msgspec.Struct, frozen=True):
    type: str
    diff_ids: tuple[DiffId, ...] = ()


class ConfigDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A config as it was read; :func:`contents_of` makes an image of it once its layers are
    known.
    """

    rootfs: _WireRootfs
    architecture: str = ""
    os: str = ""
    variant: str = ""
    created: str | None = None
    author: str = ""
    comment: str = ""
    docker_version: str = ""
    config: _WireConfig | None = None
    history: tuple[HistoryEntry, ...] | None = None


def chain_id(parent: ChainId | None, diff_id: DiffId) -> ChainId:
    """Return the chain ID of a layer on top of ``parent``: OCI config.md, "Layer ChainID"."""
    if parent is None:
        return ChainId(diff_id)
    return ChainId("sha256:" + hashlib.sha256(f"{parent} {diff_id}".encode()).hexdigest())


def chain_ids(diff_ids: tuple[DiffId, ...]) -> tuple[ChainId, ...]:
    """Return the chain IDs of a stack of layers, the lowest first."""
    chain: list[ChainId] = []
    for diff_id in diff_ids:
        chain.append(chain_id(chain[-1] if chain else None, diff_id))
    return tuple(chain)


def digest_of(document: bytes) -> Digest:
    """Return the digest of some bytes (OCI descriptor.md)."""
    return Digest("sha256:" + hashlib.sha256(document).hexdigest())


def read_config(document: bytes) -> ConfigDocument:
    """Parse a config as Docker or an OCI tool wrote it.

    Raises:
        InvalidRequest: not JSON, a field of a wrong type, or a rootfs that is not made of layers.
    """
    try:
        parsed = msgspec.json.decode(document, type=ConfigDocument)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"invalid image config: {error}") from error
    if parsed.rootfs.type != "layers":
        raise InvalidRequest(f"invalid image config: unknown rootfs type {parsed.rootfs.type!r}")
    return parsed


def contents_of(document: bytes, layers: tuple[ImageLayer, ...]) -> ImageContents:
    """Return the image that a config and its unpacked layers make."""
    parsed = read_config(document)
    assert tuple(layer.diff_id for layer in layers) == parsed.rootfs.diff_ids
    return ImageContents(
        id=ImageId(digest_of(document)),
        config_bytes=len(document),
        created=parsed.created or "",
        architecture=parsed.architecture,
        os=parsed.os,
        variant=parsed.variant,
        author=parsed.author,
        comment=parsed.comment,
        docker_version=parsed.docker_version,
        config=_plain(parsed.config or _WireConfig()),
        history=parsed.history or (),
        layers=layers,
    )


def _plain(wire: _WireConfig) -> ImageConfig:
    return ImageConfig(
        user=wire.user or "",
        exposed_ports=tuple(sorted(wire.exposed_ports or ())),
        env=wire.env or (),
        cmd=wire.cmd or (),
        healthcheck=wire.healthcheck,
        volumes=tuple(sorted(wire.volumes or ())),
        working_dir=wire.working_dir or "",
        entrypoint=wire.entrypoint or (),
        on_build=wire.on_build or (),
        labels=wire.labels or {},
        stop_signal=wire.stop_signal or "",
        stop_timeout=wire.stop_timeout,
        shell=wire.shell or (),
    )


def write_config(
    config: ImageConfig, diff_id: DiffId, *, architecture: str, created: str, comment: str
) -> bytes:
    """Return the config document of an image made by ``import``: one layer, one entry of
    history.
    """
    return msgspec.json.encode(
        {
            "architecture": architecture,
            "comment": comment,
            "config": _docker_config(config),
            "created": created,
            "history": [{"created": created, "comment": comment}],
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
    )


def write_child_config(
    parent: bytes,
    config: ImageConfig,
    step: HistoryEntry,
    diff_id: DiffId | None,
) -> bytes:
    """Return the config document of an image made by ``commit``: its parent's, with one more layer
    and entry of history.

    Args:
        parent: the parent's document.
        config: what containers made from it start with.
        step: the entry of history; the image is as old and has the same author.
        diff_id: the layer; None if nothing was changed, and the step is an empty one.
    """
    base = read_config(parent)
    diff_ids = base.rootfs.diff_ids if diff_id is None else (*base.rootfs.diff_ids, diff_id)
    document = {
        "architecture": base.architecture,
        "author": step.author,
        "comment": step.comment,
        "config": _docker_config(config),
        "created": step.created,
        "history": [*(base.history or ()), replace(step, empty_layer=diff_id is None)],
        "os": base.os or "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "variant": base.variant,
    }
    return msgspec.json.encode({key: value for key, value in document.items() if value != ""})


def _docker_config(config: ImageConfig) -> dict[str, Any]:
    """Return the ``config`` object with the fields that Docker writes, in Docker's order."""
    document: dict[str, Any] = {
        "Hostname": "",
        "Domainname": "",
        "User": config.user,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "ExposedPorts": {port: {} for port in config.exposed_ports} or None,
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "Env": config.env or None,
        "Cmd": config.cmd or None,
        "Healthcheck": config.healthcheck,
        "Image": "",
        "Volumes": {path: {} for path in config.volumes} or None,
        "WorkingDir": config.working_dir,
        "Entrypoint": config.entrypoint or None,
        "OnBuild": config.on_build or None,
        "Labels": config.labels or None,
        "StopSignal": config.stop_signal,
        "StopTimeout": config.stop_timeout,
        "Shell": config.shell,
    }
    omitted_when_empty = {"ExposedPorts", "Healthcheck", "StopSignal", "StopTimeout", "Shell"}
    return {key: value for key, value in document.items() if value or key not in omitted_when_empty}
