"""Make a layer's tar from a container's writable layer (OCI image-spec, layer.md).

    overlay(5)                                      tar
    character device 0/0 named NAME                 .wh.NAME, empty
    directory with trusted.overlay.opaque, which    DIRECTORY/.wh..wh..opq, empty, after the
    hides one of the image                          directory

What ``docker diff`` would not list is left out: what the engine made there for its mounts, and
directories that are in the layer only because of that. So a directory's header is written only when
something below it is packed, or when it differs from the image's directory itself.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Final

from engine.drivers.storage.layer_changes import (
    MOUNT_POINTS,
    is_opaque,
    is_whiteout,
    kind_of_directory,
    lstat,
)
from engine.tar.stream import Packer, joined
from engine.tar.writer import header, made_up

_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_WHITEOUT_MODE: Final = 0o600


def layer_blocks(upper_fd: int, image_fd: int) -> Generator[bytes, None, None]:
    """Yield the tar of a container's changes to its image.

    Args:
        upper_fd: the container's own layer; the caller closes it.
        image_fd: the root of its image; likewise.
    """
    packer = _LayerPacker(upper_fd, image_fd)
    with closing(packer):
        yield from joined(packer.pack(upper_fd, "."))


class _LayerPacker(Packer):
    """One walk through a layer."""

    def __init__(self, upper_fd: int, image_fd: int) -> None:
        super().__init__(None, frozenset())
        self._upper_fd = upper_fd
        self._image_fd = image_fd
        self._waiting: list[tuple[str, bytes]] = []
        """Directories above the present place whose headers are not written yet, the topmost first.
        """

    def pack_directory(self, path: str) -> Iterator[bytes]:
        now, before = lstat(self._upper_fd, f"/{path}"), lstat(self._image_fd, f"/{path}")
        if now is None:
            return
        self._forget_others(path)
        self._waiting.append((path, header(self.directory_member(path))))
        if before is not None and is_opaque(self._upper_fd, f"/{path}"):
            yield from self._headers()
            yield header(made_up(f"{path}/{_OPAQUE}", mode=_WHITEOUT_MODE))
        elif kind_of_directory(f"/{path}", now, before) is not None:
            yield from self._headers()
        self.descend(path)

    def pack_file(self, directory_fd: int, base: str, name: bytes) -> Iterator[bytes]:
        path = os.fsdecode(name)
        before = lstat(self._image_fd, f"/{path}")
        if is_whiteout(os.stat(base, dir_fd=directory_fd, follow_symlinks=False)):
            parts = iter((_whiteout(path),) if before is not None else ())
        elif before is None and f"/{path}" in MOUNT_POINTS:
            return
        else:
            parts = super().pack_file(directory_fd, base, name)
        self._forget_others(path)
        for part in parts:
            yield from self._headers()
            yield part

    def _forget_others(self, path: str) -> None:
        """Drop the headers of waiting directories that are not above a path: they are no longer
        needed.
        """
        self._waiting = [each for each in self._waiting if path.startswith(f"{each[0]}/")]

    def _headers(self) -> Iterator[bytes]:
        waiting, self._waiting = self._waiting, []
        for _, waited in waiting:
            yield waited


def _whiteout(path: str) -> bytes:
    directory, slash, base = path.rpartition("/")
    return header(made_up(f"{directory}{slash}{_WHITEOUT}{base}", mode=_WHITEOUT_MODE))
