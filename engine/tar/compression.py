"""Recognise how an archive is compressed, and unpack it."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import BinaryIO, Final, Protocol, cast

import zstandard

from engine.tar.source import MalformedArchive


class Reader(Protocol):
    """Where an upload comes from: ``read`` blocks until there are some bytes; none means the
    end.
    """

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes."""
        ...


MAGIC_BYTES_MAX: Final = 6


def _unzstd(packed: BinaryIO) -> Reader:
    reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
    return cast("Reader", reader)


_BY_MAGIC: Final[Mapping[bytes, Callable[[BinaryIO], Reader]]] = {
    b"\x1f\x8b": lambda packed: gzip.GzipFile(fileobj=packed),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": _unzstd,
}
_DAMAGE: Final = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zstandard.ZstdError)


def unpacker(first_bytes: bytes) -> Callable[[BinaryIO], Reader] | None:
    """How to read a file that begins like this as a plain tar; None when it is one, or nothing we
    know.
    """
    for magic, opened in _BY_MAGIC.items():
        if first_bytes.startswith(magic):
            return lambda packed: _Checked(opened(packed))
    return None


class _Checked:
    """Damage in the packed bytes becomes one error."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def read(self, size: int, /) -> bytes:
        try:
            return self._reader.read(size)
        except _DAMAGE as error:
            raise MalformedArchive(f"compressed data: {error}") from error
        except OSError as error:
            if error.errno is None:  # bz2's word for damage
                raise MalformedArchive(f"compressed data: {error}") from error
            raise
