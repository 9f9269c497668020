"""Convert results about files to Docker's JSON."""

import base64
import stat
from typing import Final

import msgspec

from engine.api.http.json_bodies import Json
from engine.api.times import stamp
from engine.ports.files import PathChange, PathStat

PATH_STAT_HEADER: Final = "X-Docker-Container-Path-Stat"
_GO_TYPES: Final = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_GO_BITS: Final = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


def go_file_mode(mode: int) -> int:
    """Return ``st_mode`` as Go's ``os.FileMode``: permissions below, type and the three special
    bits above.
    """
    special = sum(theirs for ours, theirs in _GO_BITS.items() if mode & ours)
    return mode & 0o777 | _GO_TYPES.get(stat.S_IFMT(mode), 0) | special


def path_stat_header(found: PathStat) -> tuple[str, str]:
    """Return the header with the stat of a path: base64 of JSON."""
    document = msgspec.json.encode(
        {
            "name": found.name,
            "size": found.size_bytes,
            "mode": go_file_mode(found.mode),
            "mtime": stamp(found.mtime_ns) if found.mtime_ns else "1970-01-01T00:00:00Z",
            "linkTarget": found.link_target,
        }
    )
    return PATH_STAT_HEADER, base64.b64encode(document).decode()


def change_json(change: PathChange) -> Json:
    """Return one element of ``GET /containers/{id}/changes``: FilesystemChange."""
    return {"Path": change.path.encode(errors="replace").decode(), "Kind": int(change.kind)}
