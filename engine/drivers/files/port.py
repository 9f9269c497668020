"""Answer the port for files of containers, on threads.

A thread is used only while there is work for it, never while waiting for a client: an outgoing tar
is made block by block, with one visit to a queue each, and an incoming tar is completely on disk
before it is unpacked.

A file system that is mounted in a container may not answer. Its thread is abandoned when the client
has gone or :data:`OPEN_S` is over; descriptors and the layer's lock are released when it ends.
"""

import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import trio

from engine.container_locks import ContainerLocks
from engine.domain.container.mounts import AskedBy, Bind, Tmpfs
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.drivers.files.paths import (
    AskedPath,
    asked_path,
    evaluated,
    look_at,
    open_directory_of,
    path_error,
    path_stat,
)
from engine.drivers.files.uploads import SpooledTar, receive_tar
from engine.drivers.files.views import Purpose, Views
from engine.drivers.images.layer_tar import layer_blocks
from engine.drivers.lanes import Family, Lanes, Run
from engine.drivers.storage.deferred_close import DeferredClose
from engine.drivers.storage.files import disk_error
from engine.drivers.storage.layer_changes import changes
from engine.errors import DriverError, InvalidRequest
from engine.filesystem.erase import DIRECTORY
from engine.ports.files import (
    NoSuchPath,
    PathChange,
    PathStat,
    ReadOnlyPlace,
    UnpackOptions,
    Upload,
)
from engine.runtime import linux as k
from engine.runtime.failure import SetupFailed
from engine.runtime.inside import open_inside
from engine.runtime.users import resolve_identity
from engine.tar.stream import tar_blocks
from engine.tar.unpack import Owner, unpack_into
from engine.tar.writer import END

_KERNELS_OWN: Final = ("/proc", "/sys")
"""The kernel's own file systems are not part of a container's files: copies have empty directories
there, as with Docker.
"""
_MOUNTED_AT_START: Final = ("proc", "sys", "dev")


OPEN_S: Final = 30.0
"""How long it may take to look up a path, or to open it."""

T = TypeVar("T")


class TarReading:
    """A tar that is made while it is read."""

    def __init__(
        self, found: PathStat, run: Run, parts: Generator[bytes, None, None], *fds: int
    ) -> None:
        """Take over the descriptors that ``parts`` reads from."""
        self.stat = found
        self._run = run
        self._parts = parts
        self._opened = DeferredClose(parts.close, *(partial(os.close, fd) for fd in fds))

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """Yield the tar; each block is made when the one before has been consumed."""
        make_next = partial(self._opened.use, partial(next, self._parts, b""))
        while block := await self._run(make_next):
            yield block

    def close(self) -> None:
        """Close the view and its descriptors."""
        self._opened.close()


class OpenDestination:
    """A directory of a container, opened for writing."""

    def __init__(self, run: Run, root_fd: int, path: str, opened: DeferredClose) -> None:
        """``path`` is below the container's root, and had no symlinks when it was looked up;
        ``opened`` closes the descriptor.
        """
        self._run = run
        self._root_fd = root_fd
        self._path = path
        self._opened = opened

    async def unpack(self, upload: Upload, options: UnpackOptions) -> None:
        """Unpack a tar into the directory."""
        assert isinstance(upload, SpooledTar)
        unpack = partial(self._unpack, upload, options)
        await self._run(partial(self._opened.use, partial(upload.opened.use, unpack)))

    def _unpack(self, upload: SpooledTar, options: UnpackOptions) -> None:
        unpack_into(
            upload.source,
            self._root_fd,
            self._path,
            keep_kinds=options.keep_kinds,
            owner=self._owner(options.owner) if options.owner else None,
        )

    def _owner(self, user: str) -> Owner:
        try:
            found = resolve_identity(self._root_fd, {"username": user})
        except SetupFailed as unknown:
            raise InvalidRequest(str(unknown)) from unknown
        return found.uid, found.gid


@dataclass(frozen=True, slots=True, kw_only=True)
class LinuxContainerFiles:
    """The files of the containers of one data root."""

    data_root: Path
    views: Views
    layer_locks: ContainerLocks
    lanes: Lanes

    def _files(self, container: ContainerId) -> Run:
        """Return the function that runs work on a container's files and its mounts, which may
        hang.
        """
        return partial(self.lanes.run_for, container, family=Family.FILES)

    def _layer_of(self, container: ContainerId) -> Run:
        """Return the function that runs work on a container's own layer, on the engine's disk."""
        return partial(self.lanes.run_for, container, family=Family.LAYER)

    async def _run_in_time(
        self,
        container: ContainerId,
        function: Callable[[], T],
        discard: Callable[[T], None] | None = None,
    ) -> T:
        """Run a function that looks up or opens something among a container's files; wait up to
        :data:`OPEN_S`.

        Raises:
            DriverError: what is mounted in it does not answer.
        """
        self.lanes.refuse_hanging(container)
        with trio.move_on_after(OPEN_S):
            return await self.lanes.run_for(container, function, Family.FILES, discard=discard)
        raise DriverError(
            f"open the files of container {container}: a file system that is mounted in it "
            f"did not answer within {OPEN_S:.0f} s"
        )

    async def stat(self, container: Container, path: str) -> PathStat:
        """Return the attributes of what is at a path."""
        return await self._run_in_time(
            container.id, partial(self._stat, container, asked_path(path))
        )

    def _stat(self, container: Container, asked: AskedPath) -> PathStat:
        root_fd = self.views.open(container, Purpose.READ)
        try:
            return _look_up(root_fd, asked)[0]
        finally:
            os.close(root_fd)

    async def read(self, container: Container, path: str) -> TarReading:
        """Return a file, or a directory with all below it, as a tar."""
        read = partial(self._read, container, asked_path(path))
        return await self._run_in_time(container.id, read, TarReading.close)

    def _read(self, container: Container, asked: AskedPath) -> TarReading:
        root_fd = self.views.open(container, Purpose.READ)
        try:
            found, directory_fd = _look_up(root_fd, asked, keep=True)
        except BaseException:
            os.close(root_fd)
            raise
        hidden = _hidden(root_fd, evaluated(root_fd, asked.text))
        parts = tar_blocks(directory_fd, asked.base, asked.name, hidden)
        return TarReading(found, self._files(container.id), parts, directory_fd, root_fd)

    async def export(self, container: Container) -> TarReading:
        """Return the root file system as a tar."""
        export = partial(self._export, container)
        return await self.lanes.run_for(
            container.id, export, Family.LAYER, discard=TarReading.close
        )

    def _export(self, container: Container) -> TarReading:
        root_fd = self.views.open(container, Purpose.EXPORT)
        try:
            found = path_stat(root_fd, AskedPath("/"), os.fstat(root_fd))
            parts = tar_blocks(root_fd, ".", None)
        except BaseException:
            os.close(root_fd)
            raise
        return TarReading(found, self._layer_of(container.id), parts, root_fd)

    async def layer(self, container: Container) -> TarReading:
        """Return the changes to its image, as the tar of a layer."""
        layer = partial(self._layer, container)
        return await self.lanes.run_for(container.id, layer, Family.LAYER, discard=TarReading.close)

    def _layer(self, container: Container) -> TarReading:
        run = self._layer_of(container.id)
        upper = self.views.rootfs.upper(container.id)
        image_fd = self.views.open_image(container)
        try:
            found = path_stat(image_fd, AskedPath("/"), os.fstat(image_fd))
            upper_fd = os.open(upper, DIRECTORY)
        except FileNotFoundError:  # it has never been started
            return TarReading(found, run, _empty_tar(), image_fd)
        except BaseException:
            os.close(image_fd)
            raise
        parts = layer_blocks(upper_fd, image_fd)
        return TarReading(found, run, parts, upper_fd, image_fd)

    async def receive(self, body: AsyncIterator[bytes]) -> SpooledTar:
        """Receive a tar."""
        return await receive_tar(body, self.data_root, self.lanes)

    async def check_destination(self, container: Container, path: str) -> None:
        """Refuse a destination that could not be written to."""
        check = partial(self._check_destination, container, asked_path(path))
        await self._run_in_time(container.id, check)

    def _check_destination(self, container: Container, asked: AskedPath) -> str:
        """Return the path of the destination, with all symlinks followed."""
        root_fd = self.views.open(container, Purpose.READ)
        try:
            path = _resolved_directory(root_fd, asked)
        finally:
            os.close(root_fd)
        _check_writable(container, path)
        return path

    @asynccontextmanager
    async def destination(
        self, container: Container, path: str, check: Callable[[], None]
    ) -> AsyncIterator[OpenDestination]:
        """Open a directory for writing."""
        opened = DeferredClose(await self.layer_locks.acquire(container.id))
        with closing(opened):
            check()
            open_it = partial(self._open_destination, container, asked_path(path), opened)
            yield await self._run_in_time(container.id, partial(opened.use, open_it))

    def _open_destination(
        self, container: Container, asked: AskedPath, opened: DeferredClose
    ) -> OpenDestination:
        path = self._check_destination(container, asked)
        root_fd = self.views.open(container, Purpose.WRITE)
        opened.add(partial(os.close, root_fd))
        return OpenDestination(self._files(container.id), root_fd, path, opened)

    async def changes(self, container: Container) -> tuple[PathChange, ...]:
        """Return the differences between its files and its image's."""
        return await self._layer_of(container.id)(partial(self._changes, container))

    def _changes(self, container: Container) -> tuple[PathChange, ...]:
        upper = self.views.rootfs.upper(container.id)
        image_fd = self.views.open_image(container)
        try:
            upper_fd = os.open(upper, DIRECTORY)
        except FileNotFoundError:  # the container has never been started
            os.close(image_fd)
            return ()
        try:
            return changes(upper_fd, image_fd)
        except OSError as error:
            raise disk_error(f"compare {upper}", error) from error
        finally:
            os.close(upper_fd)
            os.close(image_fd)

    async def size_bytes(self, container: ContainerId) -> int:
        """Return the size of what it has written into its own layer."""
        return await self._layer_of(container)(partial(self._size_bytes, container))

    def _size_bytes(self, container: ContainerId) -> int:
        rootfs = self.views.rootfs
        try:
            return rootfs.size_rw_bytes(container) if rootfs.exists(container) else 0
        except DriverError:
            if rootfs.exists(container):
                raise
            return 0  # removed meanwhile


def _empty_tar() -> Generator[bytes, None, None]:
    yield END


def _look_up(root_fd: int, asked: AskedPath, *, keep: bool = False) -> tuple[PathStat, int]:
    """Return the attributes of what is at a path, and its directory's descriptor if ``keep`` is
    set.
    """
    if _is_kernels_own(evaluated(root_fd, asked.directory)):
        raise NoSuchPath(asked.text)
    directory_fd = open_directory_of(root_fd, asked)
    try:
        found = path_stat(root_fd, asked, look_at(directory_fd, asked))
    except BaseException:
        os.close(directory_fd)
        raise
    if not keep:
        os.close(directory_fd)
    return found, directory_fd


def _resolved_directory(root_fd: int, asked: AskedPath) -> str:
    """Return the path of the directory that a path leads to, with all symlinks followed.

    Raises:
        NoSuchPath: nothing is there.
        InvalidRequest: it is not a directory.
    """
    path = evaluated(root_fd, asked.text)
    if _is_kernels_own(path):
        raise NoSuchPath(asked.text)
    try:
        found_fd = open_inside(
            root_fd, asked.text.rstrip("/") or "/", os.O_PATH, k.RESOLVE_NO_MAGICLINKS
        )
    except OSError as error:
        raise path_error(asked, error) from error
    try:
        if not stat.S_ISDIR(os.fstat(found_fd).st_mode):
            raise InvalidRequest("extraction point is not a directory")
    finally:
        os.close(found_fd)
    return path


def _is_kernels_own(path: str) -> bool:
    return any(_is_below(path, own) for own in _KERNELS_OWN)


def _hidden(root_fd: int, path: str) -> frozenset[str]:
    """Return the directories below a path that are copied empty, because the engine mounts
    something there when a container starts.
    """
    if path in _KERNELS_OWN:
        return frozenset({""})
    if path != "/":
        return frozenset()
    root = os.fstat(root_fd).st_dev
    found = set()
    for name in _MOUNTED_AT_START:
        with suppress(FileNotFoundError):
            if os.stat(name, dir_fd=root_fd, follow_symlinks=False).st_dev != root:
                found.add(name)
    return frozenset(found)


def _check_writable(container: Container, path: str) -> None:
    """Apply Docker's two refusals. A mount may be writable where the root is not. ``--tmpfs`` does
    not count as a mount here, as with Docker.

    Raises:
        ReadOnlyPlace.
    """
    spec = container.spec
    memory = (each for each in spec.tmpfs if each.asked_by is AskedBy.MOUNTS)
    mounts: tuple[Bind | Tmpfs, ...] = (*spec.binds, *memory)
    around = [each for each in mounts if _is_below(path, each.destination)]
    if not around:
        if spec.read_only:
            raise ReadOnlyPlace("container rootfs is marked read-only")
    elif max(around, key=lambda each: len(each.destination)).read_only:
        raise ReadOnlyPlace("mounted volume is marked read-only")


def _is_below(path: str, directory: str) -> bool:
    return f"{path.rstrip('/')}/".startswith(f"{directory.rstrip('/')}/")
