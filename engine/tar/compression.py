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
    """The source of an upload: ``read`` blocks until there are some bytes; no bytes mean the
    end.
    """

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes."""
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
    """Return a function that opens a compressed file as a plain tar, chosen by its first bytes;
    None if it is not compressed, or in an unknown way.
    """
    for magic, opened in _BY_MAGIC.items():
        if first_bytes.startswith(magic):
            return lambda packed: _Checked(opened(packed))
    return None


class _Checked:
    """Converts every error for damaged compressed data to MalformedArchive."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def read(self, size: int, /) -> bytes:
        try:
            return self._reader.read(size)
        except _DAMAGE as error:
            raise MalformedArchive(f"compressed data: {error}") from error
        except OSError as error:
            if error.errno is None:  # bz2's error for damage
                raise MalformedArchive(f"compressed data: {error}") from error
            raise
