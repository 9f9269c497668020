"""Implement the port for containers' files in memory: every container has the same few, and
remembers what was unpacked.
"""

import io
import posixpath
import stat
import tarfile
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import trio

from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.errors import InvalidRequest
from engine.ports.files import (
    ChangeKind,
    NoSuchPath,
    PathChange,
    PathStat,
    ProcessGone,
    ReadOnlyPlace,
    UnpackOptions,
    Upload,
)
from tests.fakes.tars import all_of, blocks_of, members_of
from tests.model.simulated_machine import Machine

_SECOND_NS: Final = 1_000_000_000
_LINKS_MAX: Final = 8


@dataclass(frozen=True)
class Node:
    """A file, a directory or a symlink."""

    mode: int
    content: bytes = b""
    link: str = ""
    owner: tuple[int, int] = (0, 0)
    mtime_ns: int = 2 * _SECOND_NS

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def size_bytes(self) -> int:
        return len(self.link or self.content)


def file(content: bytes, mode: int = 0o644) -> Node:
    return Node(stat.S_IFREG | mode, content)


def link(target: str) -> Node:
    return Node(stat.S_IFLNK | 0o777, link=target)


def as_copied(node: Node) -> Node:
    """Return a node as a copy has it: its time in whole seconds."""
    return replace(node, mtime_ns=node.mtime_ns // _SECOND_NS * _SECOND_NS)


DIRECTORY: Final = Node(stat.S_IFDIR | 0o755)
Tree = dict[str, Node]
"""Nodes by absolute path."""
IMAGE: Final[Mapping[str, Node]] = {
    "/": DIRECTORY,
    "/d": DIRECTORY,
    "/d/in": file(b"inside"),
    "/f": replace(file(b"hello", 0o4644), mtime_ns=2_250_000_000),
    "/l": link("/f"),
    "/to-d": link("/d"),
}
"""The files of a container's image."""


def tar_of_nodes(nodes: Mapping[str, Node]) -> bytes:
    """A tar of nodes by the names that they get in it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, node in nodes.items():
            archive.addfile(_member(name, node), io.BytesIO(node.content))
    return made.getvalue()


def image_tar() -> bytes:
    """The tar that the image is imported from."""
    return tar_of_nodes({path.lstrip("/"): IMAGE[path] for path in IMAGE if path != "/"})


def _member(name: str, node: Node) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode, member.mtime = stat.S_IMODE(node.mode), node.mtime_ns / _SECOND_NS
    member.size, member.linkname = len(node.content), node.link
    member.uid, member.gid = node.owner
    member.type = (
        tarfile.DIRTYPE if node.is_directory else tarfile.SYMTYPE if node.link else tarfile.REGTYPE
    )
    return member


def nodes_of(tar: bytes) -> Tree:
    """Return the entries of a tar, by name."""
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
        return {each.name: _node(archive, each) for each in archive}


def _node(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Node:
    kind = stat.S_IFDIR if member.isdir() else stat.S_IFLNK if member.issym() else stat.S_IFREG
    data = archive.extractfile(member) if member.isfile() else None
    return Node(
        mode=kind | member.mode,
        content=data.read() if data else b"",
        link=member.linkname,
        owner=(member.uid, member.gid),
        mtime_ns=round(member.mtime * _SECOND_NS),
    )


class FakeReading:
    """A tar that is made while it is read."""

    def __init__(self, found: PathStat, tar: bytes) -> None:
        self.stat = found
        self.closed = False
        self._tar = tar

    def blocks(self) -> AsyncGenerator[bytes, None]:
        return blocks_of(self._tar)

    def close(self) -> None:
        self.closed = True


class FakeUpload:
    """A tar that was received."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.closed = False

    def close(self) -> None:
        self.closed = True


class FakeFiles:
    """Trees of nodes; a test may look at what was opened, and how tars were unpacked."""

    def __init__(self, machine: Machine) -> None:
        self.unpacked: list[UnpackOptions] = []
        self.readings: list[FakeReading] = []
        self.uploads: list[FakeUpload] = []
        self.gone_once = False
        """Whether the next container that is looked at has just ended."""
        self.seen_gone = trio.Event()
        self._machine = machine
        self._trees: defaultdict[ContainerId, Tree] = defaultdict(lambda: dict(IMAGE))
        self._locks: defaultdict[ContainerId, trio.Lock] = defaultdict(trio.Lock)

    def delete(self, container: ContainerId, path: str) -> None:
        """Delete a file, as the container's own processes do."""
        del self._trees[container][path]

    # --- The port ---

    async def stat(self, container: Container, path: str) -> PathStat:
        await trio.lowlevel.checkpoint()
        return self._found(container, path)[1]

    async def read(self, container: Container, path: str) -> FakeReading:
        await trio.lowlevel.checkpoint()
        top, found = self._found(container, path)
        tree = self._trees[container.id]
        inside = {
            posixpath.join(found.name, posixpath.relpath(each, top)).removesuffix("/."): node
            for each, node in sorted(tree.items())
            if each == top or each.startswith(f"{top.rstrip('/')}/")
        }
        return self._reading(found, inside)

    async def export(self, container: Container) -> FakeReading:
        await trio.lowlevel.checkpoint()
        _, found = self._found(container, "/")
        tree = sorted(self._trees[container.id].items())
        return self._reading(found, {path[1:]: node for path, node in tree if path != "/"})

    async def layer(self, container: Container) -> FakeReading:
        await trio.lowlevel.checkpoint()
        tree = self._trees[container.id]
        changed: Tree = {}
        for change in self._changes(container.id):
            if change.kind is ChangeKind.DELETED:
                where, name = posixpath.split(change.path[1:])
                changed[posixpath.join(where, f".wh.{name}")] = file(b"")
            else:
                changed[change.path[1:]] = tree[change.path]
        return self._reading(self._stat("/", IMAGE["/"], {}), changed)

    async def receive(self, body: AsyncIterator[bytes]) -> FakeUpload:
        content = await all_of(body)
        members_of(content)
        self.uploads.append(FakeUpload(content))
        return self.uploads[-1]

    async def check_destination(self, container: Container, path: str) -> None:
        await trio.lowlevel.checkpoint()
        self._destination(container, path)

    @asynccontextmanager
    async def destination(
        self, container: Container, path: str, check: Callable[[], None]
    ) -> AsyncIterator["FakeDestination"]:
        async with self._locks[container.id]:
            check()
            directory = self._destination(container, path)
            yield FakeDestination(self._trees[container.id], directory, self.unpacked)

    async def changes(self, container: Container) -> tuple[PathChange, ...]:
        await trio.lowlevel.checkpoint()
        return self._changes(container.id)

    async def size_bytes(self, container: ContainerId) -> int:
        await trio.lowlevel.checkpoint()
        tree = self._trees[container]
        changed = (tree.get(each.path) for each in self._changes(container))
        return sum(node.size_bytes for node in changed if node is not None)

    # --- Paths ---

    def _found(self, container: Container, path: str) -> tuple[str, PathStat]:
        """Return what is at a path, and where that is."""
        self._check_alive(container)
        tree = self._trees[container.id]
        cleaned = posixpath.normpath(f"/{path}").replace("//", "/")
        where, name = posixpath.split(cleaned)
        directory = _resolved(tree, where)
        if directory not in tree:
            raise NoSuchPath(cleaned)
        found = posixpath.join(directory, name) if name else "/"
        if not tree[directory].is_directory:
            raise InvalidRequest(f"lstat {cleaned}: not a directory")
        if found not in tree:
            raise NoSuchPath(cleaned)
        return found, self._stat(cleaned, tree[found], tree)

    def _stat(self, path: str, node: Node, tree: Tree) -> PathStat:
        return PathStat(
            name=posixpath.basename(path) or "/",
            size_bytes=node.size_bytes,
            mode=node.mode,
            mtime_ns=node.mtime_ns,
            link_target=_resolved(tree, path) if node.link else "",
        )

    def _check_alive(self, container: Container) -> None:
        process = self._machine.place(container.id).process
        runs = process is not None and process.alive and process.identity == container.process
        if self.gone_once or (container.process is not None and not runs):
            self.gone_once = False
            self.seen_gone.set()
            raise ProcessGone("the container's process has just ended")

    def _destination(self, container: Container, path: str) -> str:
        self._check_alive(container)
        tree = self._trees[container.id]
        directory = _resolved(tree, posixpath.normpath(f"/{path}").replace("//", "/"))
        if directory not in tree:
            raise NoSuchPath(path)
        if not tree[directory].is_directory:
            raise InvalidRequest("extraction point is not a directory")
        if container.spec.read_only:
            raise ReadOnlyPlace("container rootfs is marked read-only")
        return directory

    def _reading(self, found: PathStat, nodes: Tree) -> FakeReading:
        copied = {name: as_copied(node) for name, node in nodes.items()}
        self.readings.append(FakeReading(found, tar_of_nodes(copied)))
        return self.readings[-1]

    def _changes(self, container: ContainerId) -> tuple[PathChange, ...]:
        return tuple(_compared(self._trees[container]))


def _compared(tree: Tree) -> Iterator[PathChange]:
    """Yield the differences from the image; a directory differs when something in it does."""
    differing = {path for path in {*tree, *IMAGE} if tree.get(path) != IMAGE.get(path)}
    differing |= {posixpath.dirname(path) for path in differing if path not in IMAGE}
    differing |= {posixpath.dirname(path) for path in differing if path not in tree}
    for path in sorted(differing - {"/"}):
        if path not in tree:
            yield PathChange(path, ChangeKind.DELETED)
        else:
            yield PathChange(path, ChangeKind.MODIFIED if path in IMAGE else ChangeKind.ADDED)


def _resolved(tree: Mapping[str, Node], path: str) -> str:
    """Return where a path leads; only a last component may be a symlink."""
    for _ in range(_LINKS_MAX):
        if path not in tree or not tree[path].link:
            return path
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), tree[path].link))
    raise InvalidRequest(f"lstat {path}: too many links")


class FakeDestination:
    """An open directory."""

    def __init__(self, tree: Tree, directory: str, unpacked: list[UnpackOptions]) -> None:
        self._tree = tree
        self._directory = directory
        self._unpacked = unpacked

    async def unpack(self, upload: Upload, options: UnpackOptions) -> None:
        assert isinstance(upload, FakeUpload)
        await trio.lowlevel.checkpoint()
        owner = _owner(options.owner) if options.owner else None
        for name, node in nodes_of(upload.content).items():
            self._make(name, node if owner is None else replace(node, owner=owner), options)
        self._unpacked.append(options)

    def _make(self, name: str, node: Node, options: UnpackOptions) -> None:
        cleaned = posixpath.normpath(name)
        if cleaned.startswith(".."):
            raise InvalidRequest(f'"{cleaned}" is outside of "{self._directory}"')
        path = posixpath.join(self._directory, cleaned.lstrip("/"))
        there = self._tree.get(path)
        if options.keep_kinds and there and there.is_directory != node.is_directory:
            old, new = ("directory", "non-directory")[:: 1 if there.is_directory else -1]
            raise InvalidRequest(f'cannot overwrite {old} "{path}" with {new} "{self._directory}"')
        if not node.is_directory:
            for each in [each for each in self._tree if each.startswith(f"{path}/")]:
                del self._tree[each]
        self._tree[path] = node


def _owner(user: str) -> tuple[int, int]:
    """The IDs of a user; none has a name here."""
    number, _, group = user.partition(":")
    if not number.isdigit():
        raise InvalidRequest(f"unable to find user {number}: no matching entries in passwd file")
    return int(number), int(group or 0)
