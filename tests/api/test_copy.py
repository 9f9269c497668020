"""Test files in and out of real containers, by ``docker cp``, ``export`` and ``diff``, also of
hostile containers.
"""

import io
import os
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from engine.domain import naming
from engine.domain.ids import ContainerId
from tests.api.clients import Client
from tests.harness.client import Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest
from tests.harness.tars import tar_of

pytestmark = pytest.mark.root

SLEEP: Final = ("sleep", "1000")
PHASES: Final = ("created", "running", "paused", "exited")


def put(daemon: DaemonUnderTest, container: str, path: str, archive: bytes) -> None:
    daemon.api.call("PUT", f"/containers/{container}/archive?path={path}", archive)


def brought_to(daemon: DaemonUnderTest, phase: str) -> str:
    identity = daemon.api.create("box", *SLEEP)
    if phase != "created":
        daemon.api.start(identity)
    if phase == "paused":
        daemon.api.post(f"/containers/{identity}/pause")
    if phase == "exited":
        daemon.api.kill(identity)
    return identity


def mounts_of(daemon: DaemonUnderTest) -> list[str]:
    lines = Path(f"/proc/{daemon.pid}/mountinfo").read_text().splitlines()
    return [line for line in lines if " nsfs " not in line]  # the pool of namespaces comes and goes


@contextmanager
def stalled(daemon: DaemonUnderTest, path: str) -> Iterator[socket.socket]:
    """Run a client that sends a request and does not read the answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(daemon.api.socket_path))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b"200 OK" in client.recv(1000)
        yield client


@pytest.mark.parametrize("phase", PHASES)
def test_files_go_in_and_out_in_every_phase(
    client: Client, daemon: DaemonUnderTest, tmp_path: Path, phase: str
) -> None:
    brought_to(daemon, phase)
    (tmp_path / "tree/below").mkdir(parents=True)
    (tmp_path / "tree/below/f").write_text("text")
    (tmp_path / "tree/link").symlink_to("below/f")
    mounts = mounts_of(daemon)

    client.ok("cp", str(tmp_path / "tree"), "box:/opt")
    client.ok("cp", str(tmp_path / "tree/below/f"), "box:/opt/named")
    client.ok("cp", "box:/opt", str(tmp_path / "back"))
    client.ok("cp", "-L", "box:/opt/link", str(tmp_path / "followed"))

    assert (tmp_path / "back/below/f").read_text() == "text"
    assert (tmp_path / "back/named").read_text() == "text"
    assert (tmp_path / "back/link").readlink() == Path("below/f")
    assert (tmp_path / "followed").read_text() == "text"
    assert mounts_of(daemon) == mounts


def test_tars_go_through_standard_input_and_output(client: Client, daemon: DaemonUnderTest) -> None:
    daemon.api.run("box", *SLEEP)

    client.ok("cp", "-", "box:/tmp", given=tar_of({"f": b"from the input"}))
    done = client("cp", "box:/tmp/f", "-")

    with tarfile.open(fileobj=io.BytesIO(done.raw_out)) as archive:
        assert archive.getnames() == ["f"]
    assert client.ok("exec", "box", "cat", "/tmp/f") == "from the input"


def test_with_archive_mode_files_belong_to_the_containers_user(
    client: Client, daemon: DaemonUnderTest, tmp_path: Path
) -> None:
    daemon.api.run("box", *SLEEP, User="1000:1001")
    (tmp_path / "f").write_text("x")

    client.ok("cp", "-a", str(tmp_path / "f"), "box:/tmp/own")
    client.ok("cp", str(tmp_path / "f"), "box:/tmp/roots")

    owners = client.ok("exec", "box", "stat", "-c", "%u:%g", "/tmp/own", "/tmp/roots")
    assert owners.split() == ["1000:1001", "0:0"]


def test_read_only_places_refuse_and_writable_binds_do_not(
    docker: Client, daemon: DaemonUnderTest, tmp_path: Path
) -> None:
    for name in ("ro", "rw"):
        (tmp_path / name).mkdir()
    (tmp_path / "f").write_text("x")
    binds = [f"{tmp_path}/ro:/ro:ro", f"{tmp_path}/rw:/rw"]
    daemon.api.run("box", *SLEEP, HostConfig={"ReadonlyRootfs": True, "Binds": binds})

    for place, words in (
        ("/tmp", "container rootfs is marked read-only"),
        ("/ro", "mounted volume is marked read-only"),
    ):
        with pytest.raises(Refused, match=words) as refused:
            put(daemon, "box", place, tar_of({"f": b"x"}))
        assert refused.value.status == 403
    docker.ok("cp", str(tmp_path / "f"), "box:/rw/f")

    assert (tmp_path / "rw/f").read_text() == "x"
    assert list((tmp_path / "ro").iterdir()) == []


def test_what_the_kernel_mounts_is_not_copied(client: Client, daemon: DaemonUnderTest) -> None:
    daemon.api.run("box", *SLEEP)

    with tarfile.open(fileobj=io.BytesIO(client("cp", "box:/", "-").raw_out)) as archive:
        names = archive.getnames()

    assert {"/proc", "/sys", "/dev", "/etc/hosts"} <= set(names)
    assert not [name for name in names if name.startswith(("/proc/", "/sys/", "/dev/"))]
    assert "Could not find the file /proc/cpuinfo in container box" in (
        client("cp", "box:/proc/cpuinfo", "-").err
    )


def test_the_whole_root_or_what_a_directory_holds_is_copied(
    client: Client, daemon: DaemonUnderTest, tmp_path: Path
) -> None:
    daemon.api.create("box", *SLEEP)
    (tmp_path / "tree/d").mkdir(parents=True)
    (tmp_path / "tree/f").write_text("text")

    client.ok("cp", f"{tmp_path}/tree/.", "box:/tmp")
    client.ok("cp", "box:/tmp/.", str(tmp_path / "back"))
    client.ok("cp", "box:/", str(tmp_path / "all"))

    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == ["d", "f"]
    assert (tmp_path / "all/tmp/f").read_text() == "text"
    assert (tmp_path / "all/bin/busybox").stat().st_size > 100_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("box:/nosuch", "-"), "Could not find the file /nosuch in container box"),
        (("nosuch:/f", "-"), "No such container: nosuch"),
        (("box:/etc/passwd", "{here}/nosuch/"), "no such directory"),
        (("box:/tmp", "{here}/f"), "cannot copy directory"),
        (("{here}", "box:/etc/passwd"), "cannot copy directory"),
        (("{here}/f", "box:/nosuch/"), "no such directory"),
        (("{here}/f", "box:/no/such"), "Could not find the file /no in container box"),
        (("{here}/nosuch", "box:/tmp"), "nosuch: no such file or directory"),
        (("box:/a", "other:/b"), "copying between containers is not supported"),
        (("{here}/f", "{here}/g"), "must specify at least one container source"),
    ],
)
def test_what_can_not_be_copied_is_reported(
    client: Client, daemon: DaemonUnderTest, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    daemon.api.create("box", *SLEEP)
    (tmp_path / "f").write_text("x")

    done = client("cp", *(word.format(here=tmp_path) for word in words))

    assert done.code == 1
    assert message in done.err


def test_symlinks_from_a_container_redirect_no_later_copy(
    shipslog: Client, daemon: DaemonUnderTest, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "here").mkdir()
    daemon.api.run("box", *SLEEP)
    links = f"mkdir /d; ln -s {tmp_path}/outside /d/l; ln -s ../../outside /d/up"
    shipslog.ok("exec", "box", "sh", "-c", links)
    shipslog.ok("cp", "box:/d", str(tmp_path / "here"))
    assert (tmp_path / "here/d/up").readlink() == Path("../../outside")
    shipslog.ok("exec", "box", "sh", "-c", "rm /d/*; mkdir /d/l /d/up; touch /d/l/f /d/up/f")

    done = shipslog("cp", "box:/d", str(tmp_path / "here"))

    assert 'cannot overwrite non-directory "/d/l" with directory "/"' in done.err
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("phase", ["running", "exited"])
def test_an_export_is_an_image_again(client: Client, daemon: DaemonUnderTest, phase: str) -> None:
    brought_to(daemon, "exited" if phase == "exited" else "created")
    put(daemon, "box", "/tmp", tar_of({"mine": b"exported"}))
    if phase == "running":
        daemon.api.start("box")

    exported = client("export", "box").raw_out
    client.ok("import", "-", "again", given=exported)

    with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
        names = archive.getnames()
    assert names == sorted(names, key=lambda name: name.split("/"))
    assert not [name for name in names if name.startswith(("proc/", "sys/", "/"))]
    assert client.ok("run", "--rm", "again", "cat", "/tmp/mine") == "exported"
    daemon.api.call("DELETE", "/images/again")


def test_a_diff_shows_what_the_container_changed(client: Client, daemon: DaemonUnderTest) -> None:
    script = "rm /bin/yes; echo x >/tmp/f; mkdir -p /a/b; chmod 700 /home"
    daemon.api.run("box", "sh", "-c", script)
    daemon.api.wait("box")

    assert client.ok("diff", "box").splitlines() == [
        *("A /a", "A /a/b", "C /bin", "D /bin/yes", "C /home", "C /tmp", "A /tmp/f"),
    ]


def test_sizes_are_those_of_the_files(docker: Client, daemon: DaemonUnderTest) -> None:
    identity = daemon.api.create("box", *SLEEP)
    put(daemon, "box", "/tmp", tar_of({"f": b"x" * 1_500_000}))

    inspected = daemon.api.get(f"/containers/{identity}/json", size=1)

    assert inspected["SizeRw"] == 1_500_000
    assert inspected["SizeRootFs"] > 1_500_000
    assert docker.ok("ps", "-as", "--format", "{{.Size}}").startswith("1.5MB (virtual ")


def test_a_container_that_swaps_symlinks_gets_nothing_of_the_host(
    docker: Client, daemon: DaemonUnderTest, tmp_path: Path
) -> None:
    """CVE-2018-15664: what is a directory when it is checked is a symlink when it is used."""
    (tmp_path / "f").write_text("the host's")
    swap = (
        f"mkdir /d; ln -s {tmp_path} /l; echo mine >/d/f;"
        "while :; do mv /d /h; mv /l /d; mv /d /l; mv /h /d; done"
    )
    daemon.api.run("box", "sh", "-c", swap)
    seen = []

    for _ in range(40):
        seen.append(docker("cp", "box:/d/f", "-").raw_out)
        daemon.api.request("PUT", "/containers/box/archive?path=/d", tar_of({"f": b"hostile"}))

    assert not any(b"the host's" in each for each in seen)
    assert (tmp_path / "f").read_text() == "the host's"


def test_a_start_does_not_wait_for_a_client_that_does_not_read(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    identity = daemon.api.create("box", *SLEEP)
    put(daemon, "box", "/tmp", tar_of({"f": os.urandom(20 << 20)}))

    with (
        stalled(daemon, "/containers/box/export"),
        stalled(daemon, f"/containers/{identity}/archive?path=/tmp"),
    ):
        daemon.api.start("box")
        assert docker.ok("exec", "box", "sh", "-c", "echo y >/tmp/g; cat /tmp/g") == "y"
        daemon.api.remove("box")


def test_a_start_and_a_copy_come_one_after_the_other(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    daemon.api.create("box", *SLEEP)
    archive = tar_of({f"f{number}": b"x" * 10_000 for number in range(2000)})
    copies = threading.Thread(target=put, args=(daemon, "box", "/tmp", archive))
    copies.start()

    for _ in range(3):
        daemon.api.start("box")
        daemon.api.kill("box")
        eventually(lambda: daemon.api.status("box") == "exited", "it has ended")
    copies.join()

    daemon.api.start("box")
    assert docker.ok("exec", "box", "sh", "-c", "cat /tmp/f* | wc -c") == "20000000"


def test_clients_that_vanish_leave_nothing_open(daemon: DaemonUnderTest) -> None:
    daemon.api.create("box", *SLEEP)
    put(daemon, "box", "/tmp", tar_of({"f": os.urandom(20 << 20)}))
    fds = Path(f"/proc/{daemon.pid}/fd")
    before = len(list(fds.iterdir()))

    for _ in range(10):
        with stalled(daemon, "/containers/box/export"):
            assert len(list(fds.iterdir())) > before
    with socket.socket(socket.AF_UNIX) as client:  # and one that sends half of what it announced
        client.connect(str(daemon.api.socket_path))
        head = "PUT /containers/box/archive?path=/tmp HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n"
        client.sendall(head.encode() + b"x" * 2_000_000)

    eventually(lambda: len(list(fds.iterdir())) <= before, "all descriptors are closed")
    upper = naming.container_directory(
        daemon.data_root, ContainerId(daemon.api.inspect("box")["Id"])
    )
    assert [path.name for path in (upper / "upper/tmp").iterdir()] == ["f"]


def test_a_daemon_that_is_killed_meanwhile_leaves_no_mount(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    daemon.api.create("box", *SLEEP)
    put(daemon, "box", "/tmp", tar_of({"f": os.urandom(20 << 20)}))

    with stalled(daemon, "/containers/box/export"):
        mounts = [
            line
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if " nsfs " not in line
        ]
        assert not [line for line in mounts if str(daemon.place) in line]
        daemon.restart()

    incoming = daemon.data_root / "incoming"
    assert not incoming.exists() or list(incoming.iterdir()) == []
    daemon.api.start("box")
    assert docker.ok("exec", "box", "sh", "-c", "wc -c </tmp/f") == str(20 << 20)


def test_a_large_file_takes_no_memory(daemon: DaemonUnderTest) -> None:
    daemon.api.run("box", "sh", "-c", "truncate -s 200M /large; sleep 1000")
    size = 200 << 20
    eventually(
        lambda: daemon.api.request("HEAD", "/containers/box/archive?path=/large").status == 200,
        "it is made",
    )
    before_kb = _resident_kb(daemon)
    peak_kb, total = before_kb, 0

    with stalled(daemon, "/containers/box/archive?path=/large") as client:
        client.settimeout(20)
        while total < size:
            total += len(client.recv(1 << 20))
            if total % 50 == 0:
                peak_kb = max(peak_kb, _resident_kb(daemon))

    assert max(peak_kb, _resident_kb(daemon)) - before_kb < 40_000


def _resident_kb(daemon: DaemonUnderTest) -> int:
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_other_requests_are_answered_while_many_copies_are_under_way(
    daemon: DaemonUnderTest,
) -> None:
    daemon.api.create("box", *SLEEP)
    put(daemon, "box", "/tmp", tar_of({"f": os.urandom(20 << 20)}))
    clients = [stalled(daemon, "/containers/box/export") for _ in range(40)]
    try:
        for client in clients:
            client.__enter__()
        began = time.monotonic()
        daemon.api.request("HEAD", "/containers/box/archive?path=/tmp/f")
        put(daemon, "box", "/tmp", tar_of({"g": b"x"}))

        assert time.monotonic() - began < 5
    finally:
        for client in clients:
            client.__exit__(None, None, None)
