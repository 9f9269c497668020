"""Avoid writes to memory pages that a forked process shares with its parent.

A monitor is a fork of the launcher, and copies each page that it writes to. Two things write to
pages whose objects don't change: CPython counts references inside the objects, and its allocator
reuses the space of freed objects between them. So the launcher makes its objects immortal (PEP 683;
CPython 3.12 and 3.13), which ends the counting, and fills the free space.
"""

import gc
import sys
from typing import Final

from engine.runtime import linux

_FILL_BYTES: Final = 16 << 10
"""For each size of small objects: one pool of the allocator, Include/internal/pycore_obmalloc.h."""
_SMALL_SIZES: Final = range(48, 513, 16)
_BYTES_OVERHEAD: Final = sys.getsizeof(b"")
_HAS_IMMORTALS: Final = (
    (3, 12) <= sys.version_info < (3, 14)
    and sys.maxsize > 1 << 32
    and sys.byteorder == "little"
    and "t" not in sys.abiflags
)
"""Whether the low 32 bits of an object's first word are its reference count, and an immortal one's
are those of ``None``.
"""

_filling: Final[list[object]] = []


def settle() -> None:
    """Prepare this process for being forked; objects that exist now are never freed any more."""
    sys.path_importer_cache.clear()
    gc.collect()
    if _HAS_IMMORTALS:
        _immortalise(_reachable())
        _fill_holes()
    gc.freeze()


def _reachable() -> dict[int, object]:
    """Return every object that the collector knows, and the objects that these refer to, by
    address.
    """
    found: dict[int, object] = {}
    waiting = gc.get_objects()
    while waiting:
        each = waiting.pop()
        if id(each) not in found:
            found[id(each)] = each
            waiting.extend(gc.get_referents(each))
    return found


def _immortalise(objects: dict[int, object]) -> None:
    immortal = sys.getrefcount(None) & 0xFFFF_FFFF
    for address in objects:
        linux.write_u32(address, immortal)


def _fill_holes() -> None:
    for size in _SMALL_SIZES:
        _filling.extend(bytes(size - _BYTES_OVERHEAD) for _ in range(_FILL_BYTES // size))
    _filling.extend(object() for _ in range(_FILL_BYTES // 16))
    _filling.extend(float(number) for number in range(_FILL_BYTES // 32))
