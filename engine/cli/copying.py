"""Run ``cp``: copy files between a container and this machine.

Data from a container is not trusted: it is stored in an unnamed file and unpacked by the engine's
own code, only below the named directory, whatever its names and links say; all files get the caller
as owner.
"""

import base64
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from engine.cli import output
from engine.cli.command import Command, Invocation
from engine.cli.connection import Response
from engine.cli.engine import Engine
from engine.cli.failures import EngineRefused, Failure
from engine.cli.flags import switch

_STAT_HEADER: Final = "x-docker-container-path-stat"
_GO_DIRECTORY: Final = 1 << 31
_GO_SYMLINK: Final = 1 << 27
_TAR: Final = "application/x-tar"
_BLOCK_BYTES: Final = 1 << 20
_NOT_FOUND: Final = 404
_LINKS_MAX: Final = 40


class _Node(NamedTuple):
    """A file's status at a path of a container."""

    path: str
    is_directory: bool
    link_target: str


class _Copy(NamedTuple):
    """One use of the verb."""

    engine: Engine
    container: str
    follow: bool
    as_user: bool

    @property
    def url(self) -> str:
        return f"/containers/{self.container}/archive"


def _cp(invocation: Invocation) -> int:
    source, destination = invocation.arguments
    (source_container, from_path), (target_container, to_path) = _place(source), _place(destination)
    options = invocation.options
    copy = _Copy(
        invocation.engine,
        source_container or target_container,
        options.on("follow-link"),
        options.on("archive"),
    )
    if source_container and target_container:
        raise Failure("copying between containers is not supported")
    if source_container:
        _copy_out(copy, from_path, to_path)
    elif target_container:
        _copy_in(copy, from_path, to_path)
    else:
        raise Failure("must specify at least one container source")
    return 0


def _place(word: str) -> tuple[str, str]:
    """Split an argument into a container and a path in it, or no container and a local path: one
    that begins with ``/`` or ``.`` is local.
    """
    container, colon, path = word.partition(":")
    if not colon or word.startswith(("/", ".")):
        return "", word
    return container, path


# --- From a container ---


def _copy_out(copy: _Copy, source: str, destination: str) -> None:
    if copy.follow:
        source = _followed(copy, source)
    answer = copy.engine.request("GET", copy.url, {"path": source})
    if destination == "-":
        for block in answer.blocks():
            output.write_bytes(output.STDOUT, block)
        return
    found = _node(source, answer)
    directory, name = _local_target(destination, found)
    _unpack_here(answer, directory, _base(source), name)


def _followed(copy: _Copy, path: str) -> str:
    for _ in range(_LINKS_MAX):
        found = _look(copy, path)
        if found is None or not found.link_target:
            break
        path = found.link_target
    return path


def _local_target(destination: str, found: _Node) -> tuple[Path, str]:
    """Return the directory to unpack in, and the copy's name there; ``.`` for a directory's content
    alone.
    """
    target = Path(destination)
    name = _base(found.path)
    if target.is_dir():
        return target, name
    if target.exists():
        if found.is_directory:
            raise Failure("cannot copy directory")
        if destination.endswith("/"):
            raise Failure("not a directory")
    elif destination.endswith("/") and not found.is_directory:
        raise Failure("no such directory")
    if not target.parent.is_dir():
        raise Failure(f"invalid output path: directory {str(target.parent)!r} does not exist")
    return target.parent, target.name


def _unpack_here(answer: Response, directory: Path, old: str, new: str) -> None:
    # Imported here: no other verb unpacks, and the import takes longer than most verbs take in all.
    from engine.errors import EngineError
    from engine.tar.source import Source
    from engine.tar.unpack import check_tar, unpack_into

    with tempfile.TemporaryFile(buffering=0) as file:
        for block in answer.blocks():
            output.write_bytes(file.fileno(), block)
        root_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            source = Source(file.fileno())
            check_tar(source)
            own = (os.geteuid(), os.getegid())
            unpack_into(source, root_fd, "/", keep_kinds=True, owner=own, renamed=(old, new))
        except EngineError as error:
            raise Failure(str(error)) from error
        finally:
            os.close(root_fd)


# --- To a container ---


def _copy_in(copy: _Copy, source: str, destination: str) -> None:
    found = _look(copy, _followed(copy, destination))
    if source == "-":
        _send(copy, destination, _standard_input())
        return
    directory, name = _container_target(source, destination, found)
    _send(copy, directory, _packed(Path(source), name, follow=copy.follow))


def _container_target(source: str, destination: str, found: _Node | None) -> tuple[str, str]:
    """Return the directory to unpack in, and the copy's name there."""
    given = _lstat(source)
    name = _base(source)
    if found is not None and found.is_directory:
        return found.path, name
    if found is not None:
        if stat.S_ISDIR(given.st_mode):
            raise Failure("cannot copy directory")
        return os.path.dirname(found.path) or "/", _base(found.path)  # noqa: PTH120  (of the container)
    if destination.endswith("/") and not stat.S_ISDIR(given.st_mode):
        raise Failure("no such directory")
    whole = "/" + destination.strip("/")
    return os.path.dirname(whole), _base(whole)  # noqa: PTH120  (of the container)


def _lstat(path: str) -> os.stat_result:
    try:
        return Path(path).lstat()
    except OSError as error:
        words = (error.strerror or "").lower()
        raise Failure(f"lstat {Path(path).absolute()}: {words}") from None


def _packed(source: Path, name: str, *, follow: bool) -> Iterator[bytes]:
    from engine.tar.stream import tar_blocks  # as above

    place = source.resolve() if follow else source.absolute()
    directory_fd = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield from tar_blocks(directory_fd, place.name or ".", name)
    finally:
        os.close(directory_fd)


def _standard_input() -> Iterator[bytes]:
    while block := os.read(output.STDIN, _BLOCK_BYTES):
        yield block


def _send(copy: _Copy, directory: str, blocks: Iterator[bytes]) -> None:
    query = {
        "path": directory,
        "noOverwriteDirNonDir": "true",
        "copyUIDGID": "true" if copy.as_user else "",
    }
    copy.engine.upload(copy.url, query, _TAR, blocks, method="PUT").body()


# --- Both directions ---


def _look(copy: _Copy, path: str) -> _Node | None:
    """Return the status of a path of the container; None if nothing is there."""
    try:
        answer = copy.engine.look("HEAD", copy.url, {"path": path})
    except EngineRefused as refused:
        if refused.status == _NOT_FOUND:
            return None
        raise
    return _node(path, answer)


def _node(path: str, answer: Response) -> _Node:
    stat = json.loads(base64.b64decode(answer.headers[_STAT_HEADER]))
    mode = stat["mode"]
    target = stat["linkTarget"] if mode & _GO_SYMLINK else ""
    return _Node(path, bool(mode & _GO_DIRECTORY), target)


def _base(path: str) -> str:
    """Return the name that a copy of a path gets; ``.`` if the path means a directory's content."""
    if path.rstrip("/").endswith("/.") or path.rstrip("/") == ".":
        return "."
    return os.path.basename(path.rstrip("/")) or "/"  # noqa: PTH119  (perhaps of a container)


COMMANDS: Final = {
    "cp": Command(
        "cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|- | SRC_PATH|- CONTAINER:DEST_PATH",
        "Copy files/folders between a container and the local filesystem",
        _cp,
        (
            switch("archive", "a", "Archive mode (copy all uid/gid information)"),
            switch("follow-link", "L", "Always follow symbol link in SRC_PATH"),
            switch("quiet", "q", "Suppress progress output during copy"),
        ),
        least=2,
        most=2,
    ),
}
