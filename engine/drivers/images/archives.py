"""Read the images in an archive: ``docker save`` of every age, skopeo's ``docker-archive``, and OCI
image layouts.

    manifest.json ─▶ [{Config, RepoTags, Layers}]   Docker: paths of files in the archive, Layers
                                                    with the lowest first
    index.json ─▶ manifest ─▶ config, layers        OCI image-layout, only read when there is no
                                                    manifest.json

Nothing is unpacked here: members are parts of the one file, and links between them (by which old
archives name a shared layer) are followed by name.
"""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import msgspec

from engine.domain.image.config import ConfigDocument, digest_of, read_config
from engine.domain.image.reference import parse_reference
from engine.errors import InvalidRequest
from engine.tar.reader import Kind, read_entries
from engine.tar.source import Source

_DOCUMENT_BYTES_MAX: Final = 8 << 20
_LINKS_MAX: Final = 8
_INDEXES_MAX: Final = 4
_NAME_ANNOTATIONS: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_INDEX_TYPES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_Document = TypeVar("_Document")


class InvalidImageArchive(InvalidRequest):
    """A tar that is not an archive of images."""


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """One image of an archive, with its layers still packed."""

    config: bytes
    document: ConfigDocument
    references: tuple[str, ...]
    """Canonical references."""
    layers: tuple[Source, ...]
    """The layers' tars, compressed or not; the lowest first."""


class _DockerImage(msgspec.Struct, frozen=True, rename="pascal"):
    config: str
    repo_tags: tuple[str, ...] | None = None
    layers: tuple[str, ...] | None = None


class _Platform(msgspec.Struct, frozen=True):
    architecture: str = ""
    os: str = ""


class _Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    digest: str
    media_type: str = ""
    annotations: dict[str, str] | None = None
    platform: _Platform | None = None


class _Index(msgspec.Struct, frozen=True):
    manifests: tuple[_Descriptor, ...] = ()


class _Manifest(msgspec.Struct, frozen=True):
    config: _Descriptor
    layers: tuple[_Descriptor, ...] = ()


def read_archive(source: Source, architecture: str) -> tuple[ArchivedImage, ...]:
    """Return the images of an archive; of an OCI index, those that run on ``architecture``.

    Raises:
        InvalidRequest: a damaged tar, no manifest, or one that doesn't match the rest.
    """
    members = _Members(source)
    if "manifest.json" in members:
        manifest = members.document("manifest.json", tuple[_DockerImage, ...])
        images = tuple(_docker_image(members, image) for image in manifest)
    elif "index.json" in members:
        index = members.document("index.json", _Index)
        images = tuple(_oci_images(members, index, architecture, _INDEXES_MAX))
    else:
        raise InvalidImageArchive(
            "invalid image archive: it has neither a manifest.json nor an index.json"
        )
    if not images:
        raise InvalidImageArchive("invalid image archive: it holds no image for this machine")
    return images


class _Members:
    """The files of an archive, by name."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._files: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        for entry in read_entries(source):
            name = posixpath.normpath(entry.name)
            if entry.kind is Kind.FILE:
                self._files[name] = (entry.data_offset, entry.size_bytes)
            elif entry.kind is Kind.SYMLINK:
                self._links[name] = posixpath.normpath(f"{posixpath.dirname(name)}/{entry.link}")
            elif entry.kind is Kind.HARD_LINK:
                self._links[name] = posixpath.normpath(entry.link)

    def __contains__(self, name: str) -> bool:
        return name in self._files or name in self._links

    def part(self, name: str) -> Source:
        target = posixpath.normpath(name)
        for _ in range(_LINKS_MAX):
            target = self._links.get(target, target).removeprefix("/")
            if target in self._files:
                return self._source.part(*self._files[target])
        raise InvalidImageArchive(f"invalid image archive: it has no {name}")

    def content(self, name: str) -> bytes:
        part = self.part(name)
        if part.size_bytes > _DOCUMENT_BYTES_MAX:
            raise InvalidImageArchive(f"invalid image archive: {name} is too large")
        return part.read(0, part.size_bytes)

    def document(self, name: str, shape: type[_Document]) -> _Document:
        return _decoded(name, self.content(name), shape)

    def blob(self, digest: str) -> str:
        algorithm, _, digits = digest.partition(":")
        return f"blobs/{algorithm}/{digits}"

    def checked(self, digest: str) -> bytes:
        content = self.content(self.blob(digest))
        if digest_of(content) != digest:
            raise InvalidImageArchive(f"invalid image archive: {digest} is damaged")
        return content


def _decoded(name: str, content: bytes, shape: type[_Document]) -> _Document:
    try:
        return msgspec.json.decode(content, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidImageArchive(f"invalid image archive: {name}: {error}") from error


def _docker_image(members: _Members, image: _DockerImage) -> ArchivedImage:
    references = tuple(str(parse_reference(tag).tagged) for tag in image.repo_tags or ())
    layers = tuple(members.part(layer) for layer in image.layers or ())
    return _archived(members.content(image.config), references, layers)


def _oci_images(
    members: _Members, index: _Index, architecture: str, depth: int
) -> Iterator[ArchivedImage]:
    for descriptor in index.manifests:
        if descriptor.platform not in (None, _Platform(architecture, "linux")):
            continue
        content = members.checked(descriptor.digest)
        if descriptor.media_type in _INDEX_TYPES and depth:
            nested = _decoded(descriptor.digest, content, _Index)
            images = _oci_images(members, nested, architecture, depth - 1)
        else:
            images = iter((_oci_image(members, _decoded(descriptor.digest, content, _Manifest)),))
        names = _names(descriptor.annotations or {})
        yield from (replace(image, references=names) for image in images)


def _oci_image(members: _Members, manifest: _Manifest) -> ArchivedImage:
    layers = tuple(members.part(members.blob(layer.digest)) for layer in manifest.layers)
    return _archived(members.checked(manifest.config.digest), (), layers)


def _names(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Return the reference in an entry's annotations. A bare tag is not a name, because its
    repository is unknown.
    """
    for key in _NAME_ANNOTATIONS:
        name = annotations.get(key, "")
        if ":" in name or "/" in name:
            return (str(parse_reference(name).tagged),)
    return ()


def _archived(
    config: bytes, references: tuple[str, ...], layers: tuple[Source, ...]
) -> ArchivedImage:
    document = read_config(config)
    if document.os not in ("", "linux"):
        raise InvalidImageArchive(f"cannot load {document.os} image on linux")
    if len(document.rootfs.diff_ids) != len(layers):
        raise InvalidImageArchive(
            f"invalid manifest, layers length mismatch: expected {len(document.rootfs.diff_ids)}, "
            f"got {len(layers)}"
        )
    return ArchivedImage(config, document, references, layers)
