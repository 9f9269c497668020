"""Test views of a container that does not run: they don't appear in the mount table, and block no
start.
"""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.domain.container.events import ProcessIdentity
from engine.domain.container.mounts import Bind, Tmpfs
from engine.domain.container.spec import Spec
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.drivers.files.views import Purpose, Views
from engine.drivers.images.content import Content
from engine.drivers.processes.identity import boot_id
from engine.drivers.storage.rootfs import Rootfs
from engine.ports.files import ProcessGone
from tests.kernel.monitors import open_descriptors
from tests.kernel.tarballs import files, overlay

C = ContainerId("c" * 64)


@pytest.fixture
def views(tmp_path: Path) -> Views:
    data = tmp_path / "data"
    content = Content(data, tuple, "amd64")
    return Views(data_root=data, exec_root=tmp_path / "exec", rootfs=Rootfs(data), content=content)


@pytest.fixture
def container(views: Views) -> Container:
    image = views.content.import_tar(io.BytesIO(files(**{"etc/f": "of the image"})), at_ns=0)
    return Container(
        id=C, name="c", spec=Spec(image="i", image_id=image.id, hostname="h"), created_ns=1
    )


def bound(container: Container, *binds: Bind) -> Container:
    spec = container.spec
    wanted = {name: getattr(spec, name) for name in spec.__struct_fields__} | {
        "binds": binds,
        "tmpfs": (Tmpfs(destination="/memory"),),
    }
    return Container(id=C, name="c", spec=Spec(**wanted), created_ns=1)


@contextmanager
def seen(views: Views, container: Container, purpose: Purpose) -> Iterator[Path]:
    """Reach the view as the engine does: by its descriptor."""
    mounts = Path("/proc/self/mountinfo").read_text()
    before = open_descriptors(os.getpid())
    root_fd = views.open(container, purpose)
    try:
        assert Path("/proc/self/mountinfo").read_text() == mounts
        assert open_descriptors(os.getpid()) == before + 1
        yield Path(f"/proc/self/fd/{root_fd}")
    finally:
        os.close(root_fd)
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_one_that_never_ran_has_the_files_of_its_image(views: Views, container: Container) -> None:
    with seen(views, container, Purpose.READ) as root:
        assert (root / "etc/f").read_text() == "of the image"

    assert not views.rootfs.exists(C), "looking makes nothing"


def test_what_was_written_is_seen_and_can_not_be_written_by_a_reader(
    views: Views, container: Container
) -> None:
    with seen(views, container, Purpose.WRITE) as root:
        (root / "etc/f").write_text("changed")
        (root / "new").mkdir()
    assert (views.rootfs.upper(C) / "etc/f").read_text() == "changed"

    for purpose in (Purpose.READ, Purpose.EXPORT):
        with seen(views, container, purpose) as root:
            assert (root / "etc/f").read_text() == "changed"
            assert (root / "new").is_dir()
            with pytest.raises(OSError, match="Read-only") as refused:
                (root / "etc/f").write_text("x")
            assert refused.value.errno == errno.EROFS


def test_the_root_is_as_the_container_left_it(views: Views, container: Container) -> None:
    views.rootfs.make(C, views.content.lower_directories(container.spec.image_id)[0])
    upper = views.rootfs.upper(C)
    upper.chmod(0o751)
    os.chown(upper, 3, 4)
    os.utime(upper, (100, 100))

    with seen(views, container, Purpose.READ) as root:
        found = root.stat()

    assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (0o751, 3, 4)
    assert found.st_mtime == 100


def test_binds_are_there_for_copies_and_not_for_exports(
    views: Views, container: Container, tmp_path: Path
) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "f").write_text("of the host")
    gone = Bind(source=str(tmp_path / "gone"), destination="/gone")
    wanted = bound(container, Bind(source=str(tmp_path / "host"), destination="/in/side"), gone)

    with seen(views, wanted, Purpose.READ) as root:
        assert (root / "in/side/f").read_text() == "of the host"
        assert not (root / "gone").exists()
        assert not (root / "memory").exists()
    with seen(views, wanted, Purpose.EXPORT) as root:
        assert not (root / "in").exists()
    with seen(views, wanted, Purpose.WRITE) as root:
        (root / "in/side/f").write_text("written")
    assert (tmp_path / "host" / "f").read_text() == "written"


def test_a_read_only_bind_can_not_be_written(
    views: Views, container: Container, tmp_path: Path
) -> None:
    (tmp_path / "host").mkdir()
    wanted = bound(
        container, Bind(source=str(tmp_path / "host"), destination="/in", read_only=True)
    )

    with seen(views, wanted, Purpose.WRITE) as root, pytest.raises(OSError, match="Read-only"):
        (root / "in/f").write_text("x")


def test_a_reader_does_not_prevent_mounting_the_layer_for_writing(
    views: Views, container: Container, tmp_path: Path
) -> None:
    lower = views.content.lower_directories(container.spec.image_id)
    views.rootfs.make(C, lower[0])
    (views.rootfs.upper(C) / "before").write_text("x")

    with seen(views, container, Purpose.READ) as root:
        assert (root / "before").read_text() == "x"
        with overlay(lower, tmp_path, views.rootfs.upper(C)) as merged:
            (merged / "etc/f").write_text("by the container")
        assert (root / "before").read_text() == "x"


def test_a_process_that_has_ended_has_no_files_to_show(views: Views, container: Container) -> None:
    ended = ProcessIdentity(pid=os.getpid(), start_ticks=1, boot_id=boot_id())
    running = Container(id=C, name="c", spec=container.spec, created_ns=1, process=ended)

    with pytest.raises(ProcessGone):
        views.open(running, Purpose.READ)
