"""Test that hanging work blocks nothing else: a mount that never answers, clients that stop in the
middle of an upload.
"""

import array
import fcntl
import socket
import termios
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from engine.api.http import server
from engine.drivers.files import port as files_port
from engine.drivers.host import port as host_port
from engine.drivers.lanes import HANGING_EACH_MAX
from engine.supervisor import deadlines
from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.client import Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest
from tests.harness.hanging_mount import HangingMount, hanging_mount, threads_waiting

STUCK: Final = 12
SHARED_BEFORE: Final = 8
"""The number of threads that all containers once shared."""
UPLOADS: Final = 6
DEADLINE_S: Final = 1.0


def create_with_mount(daemon: DaemonUnderTest, name: str, mount: HangingMount) -> str:
    binds = [f"{mount.path}:/hang"]
    return daemon.api.create(name, *STOPS_AT_ONCE, HostConfig={"Binds": binds})


@contextmanager
def starts_that_hang(daemon: DaemonUnderTest, place: Path) -> Iterator[None]:
    """Run many starts with a bind source that never answers; check afterwards that each of them was
    answered.
    """
    names = [f"stuck{number}" for number in range(STUCK)]
    with ThreadPoolExecutor(STUCK) as clients, hanging_mount(place) as mount:
        for name in names:
            create_with_mount(daemon, name, mount)
        answers = [
            clients.submit(daemon.api.request, "POST", f"/containers/{name}/start")
            for name in names
        ]
        eventually(lambda: threads_waiting(daemon.pid) >= SHARED_BEFORE, "the starts hang")
        yield
        assert not any(each.done() for each in answers)
    assert {each.result().status for each in answers} <= {204, 400, 500}


def test_starts_with_a_mount_that_never_answers_stop_no_other_container(
    daemon: DaemonUnderTest, place: Path
) -> None:
    web = daemon.api.run("web", *STOPS_AT_ONCE)
    other = daemon.api.run("other", *STOPS_AT_ONCE)

    with starts_that_hang(daemon, place):
        third = daemon.api.run("third", *STOPS_AT_ONCE)
        assert daemon.api.exec_output(web, "echo", "here") == (0, b"here\n")
        assert daemon.api.get(f"/containers/{web}/top")["Processes"]
        daemon.api.kill(other)
        daemon.api.wait(other)
        daemon.api.stop(web)
        for each in (web, other, third):
            daemon.api.remove(each)

    for container in daemon.api.ps():
        daemon.api.remove(container["Id"])
    daemon.assert_nothing_leaked()


def test_a_stopped_daemon_ends_although_a_start_and_a_copy_hang(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "DRAIN_S", DEADLINE_S)
    with forked_daemon(place) as daemon:
        with ThreadPoolExecutor(1) as client, hanging_mount(place) as mount:
            stuck = create_with_mount(daemon, "stuck", mount)
            with copy_that_hangs(daemon, stuck):
                start = client.submit(daemon.api.request, "POST", f"/containers/{stuck}/start")
                eventually(lambda: threads_waiting(daemon.pid) == 2, "the start hangs")
                daemon.terminate()
            assert start.exception() or start.result().status >= 400
        daemon.start()
        daemon.api.remove(stuck)
        daemon.assert_nothing_leaked()


@contextmanager
def forked_daemon(place: Path) -> Iterator[DaemonUnderTest]:
    """Fork a daemon, which has this process's patches."""
    with DaemonUnderTest(place, forked=True) as made:
        yield made.start().import_busybox()


@pytest.fixture
def impatient(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DaemonUnderTest]:
    """Run a daemon with deadlines of a second instead of half a minute."""
    monkeypatch.setattr(deadlines, "USUAL_S", DEADLINE_S)
    monkeypatch.setattr(files_port, "OPEN_S", DEADLINE_S)
    monkeypatch.setattr(host_port, "LOOK_UP_S", DEADLINE_S)
    with forked_daemon(place) as daemon:
        yield daemon


def test_a_start_that_hangs_fails_in_time_and_its_container_can_be_removed(
    impatient: DaemonUnderTest, place: Path
) -> None:
    with hanging_mount(place) as mount:
        stuck = create_with_mount(impatient, "stuck", mount)
        for _ in range(HANGING_EACH_MAX):
            with pytest.raises(Refused, match="may not answer"):
                impatient.api.start(stuck)
        with pytest.raises(Refused, match=f"{HANGING_EACH_MAX} earlier attempts still wait"):
            impatient.api.start(stuck)
        assert impatient.log.count("thread_abandoned") == HANGING_EACH_MAX
        warning = f"WARNING: {HANGING_EACH_MAX} threads wait for file systems that don't answer"
        assert warning in impatient.api.get("/info")["Warnings"]
        impatient.api.remove(stuck)
        assert threads_waiting(impatient.pid) == HANGING_EACH_MAX
    eventually(lambda: not threads_waiting(impatient.pid), "the threads end")
    impatient.assert_nothing_leaked()


@contextmanager
def copy_that_hangs(daemon: DaemonUnderTest, container: str) -> Iterator[socket.socket]:
    """Run a client that copies a file out of a container with a mount that never answers."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(daemon.api.socket_path))
        target = f"/containers/{container}/archive?path=/etc/passwd"
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
        eventually(lambda: threads_waiting(daemon.pid), "the copy hangs")
        yield client


def test_a_copy_that_hangs_ends_with_its_client_and_delays_no_question(
    daemon: DaemonUnderTest, place: Path
) -> None:
    with hanging_mount(place) as mount:
        stuck = create_with_mount(daemon, "stuck", mount)
        with copy_that_hangs(daemon, stuck):
            assert daemon.api.get(f"/containers/{stuck}/changes") is None
            (listed,) = daemon.api.get("/containers/json?all=1&size=1")
            assert listed["SizeRw"] == 0
            assert daemon.api.request("GET", f"/containers/{stuck}/export").status == 200
        eventually(lambda: daemon.log.count("thread_abandoned") == 1, "its thread is abandoned")
        daemon.api.remove(stuck)
    eventually(lambda: not threads_waiting(daemon.pid), "the thread ends")
    daemon.assert_nothing_leaked()


def test_a_copy_that_hangs_fails_in_time(impatient: DaemonUnderTest, place: Path) -> None:
    with hanging_mount(place) as mount:
        stuck = create_with_mount(impatient, "stuck", mount)
        target = f"/containers/{stuck}/archive?path=/etc"
        for method, body in (("GET", b""), ("PUT", bytes(1024)), ("HEAD", b"")):
            assert impatient.api.request(method, target, body).status == 500
        refused = impatient.api.request("GET", target)
        assert f"{HANGING_EACH_MAX} earlier attempts still wait" in refused.message
        impatient.api.remove(stuck)
    eventually(lambda: not threads_waiting(impatient.pid), "the threads end")
    impatient.assert_nothing_leaked()


def test_a_create_whose_bind_source_hangs_fails_in_time(
    impatient: DaemonUnderTest, place: Path
) -> None:
    with hanging_mount(place) as mount:
        bind = {"Type": "bind", "Source": str(mount.path / "below"), "Target": "/hang"}
        for words in (*["doesn't answer"] * HANGING_EACH_MAX, "earlier attempts still wait"):
            with pytest.raises(Refused, match=words):
                impatient.api.create("stuck", "true", HostConfig={"Mounts": [bind]})
        assert impatient.log.count("thread_abandoned") == HANGING_EACH_MAX
    assert impatient.api.ps() == []


def test_a_mount_whose_server_has_gone_is_refused(daemon: DaemonUnderTest, place: Path) -> None:
    with hanging_mount(place) as mount:
        mount.abort()
        container = create_with_mount(daemon, "dead", mount)
        with pytest.raises(Refused, match="endpoint is not connected"):
            daemon.api.start(container)
    daemon.api.remove(container)


@contextmanager
def upload_that_stands_still(daemon: DaemonUnderTest, target: str) -> Iterator[socket.socket]:
    """Run a client that has sent the beginning of a tar."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(daemon.api.socket_path))
        head = f"POST {target} HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.sendall(head.encode() + b"200\r\n" + bytes(512) + b"\r\n")
        yield client


def unread_bytes(client: socket.socket) -> int:
    """Return how many bytes the daemon has not read yet: SIOCOUTQ, unix(7)."""
    found = array.array("i", [0])
    fcntl.ioctl(client, termios.TIOCOUTQ, found)
    return found[0]


def test_imports_and_loads_that_stand_still_stop_no_removal(daemon: DaemonUnderTest) -> None:
    web = daemon.api.run("web", *STOPS_AT_ONCE)
    targets = ("/images/create?fromSrc=-", "/images/load")

    with ExitStack() as clients:
        opened = [
            clients.enter_context(upload_that_stands_still(daemon, targets[number % 2]))
            for number in range(UPLOADS)
        ]
        eventually(lambda: not any(map(unread_bytes, opened)), "the daemon waits for more")
        assert daemon.api.get("/system/df")["Images"]
        daemon.api.remove(web)

    daemon.assert_nothing_leaked()
    assert list((daemon.data_root / "incoming").iterdir()) == []
