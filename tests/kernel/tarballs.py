"""Build tars byte by byte where a usual tool would refuse, and overlays to look at them."""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.runtime import linux

DIRECTORY, SYMLINK, HARD_LINK = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
CHARACTER, BLOCK, FIFO = tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE


def member(
    name: str,
    content: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    mode: int = 0o644,
    link: str = "",
    owner: tuple[int, int] = (0, 0),
    mtime: float = 1_000_000_000,
    device: tuple[int, int] = (0, 0),
    pax: Mapping[str, str] | None = None,
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname, info.size = kind, mode, link, len(content)
    info.uid, info.gid = owner
    info.mtime = mtime  # a float is kept as a PAX record
    info.devmajor, info.devminor = device
    info.pax_headers = dict(pax or {})
    return info, content


def directory(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind=DIRECTORY, mode=mode)


def tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def files(**contents: str) -> bytes:
    return tar(*(member(name, text.encode()) for name, text in contents.items()))


def docker_archive(
    layers: Sequence[bytes],
    diff_ids: Sequence[str],
    tags: Sequence[str] = ("made:1",),
    config: Mapping[str, object] | None = None,
) -> bytes:
    """Build an archive as ``docker save`` of 20.10 does."""
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": dict(config or {}),
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
    }
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": "c.json", "RepoTags": list(tags), "Layers": names}]
    return tar(
        *(member(name, layer) for name, layer in zip(names, layers, strict=True)),
        member("c.json", json.dumps(document).encode()),
        member("manifest.json", json.dumps(manifest).encode()),
    )


@contextmanager
def overlay(lower: Sequence[Path], place: Path, upper: Path | None = None) -> Iterator[Path]:
    """Mount the layers as a container sees them; the topmost first."""
    merged = place / "merged"
    merged.mkdir(exist_ok=True)
    empty = place / "below"
    empty.mkdir(exist_ok=True)
    stack = [*map(str, lower), str(empty)]  # overlay without upper needs two
    options = f"lowerdir={':'.join(stack)}"
    if upper is not None:
        options += f",upperdir={upper},workdir={upper.with_name('work')}"
    linux.mount("overlay", str(merged), "overlay", data=options)
    try:
        yield merged
    finally:
        linux.umount2(str(merged))
