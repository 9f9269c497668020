"""Test ``shipslog run`` and related verbs against an engine that dies, detaches and refuses on
demand.
"""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.api.fake_engine import UPGRADED, FakeEngine, Request, Script, frame
from tests.timeouts import patient

ID = "4f" * 32
SHIPSLOG = [sys.executable, "-m", "engine.cli"]
WAIT = f"POST /containers/{ID}/wait"
ATTACH = f"POST /containers/{ID}/attach"
START = f"POST /containers/{ID}/start"


def ok(status: int, content: Any = None) -> Script:
    return lambda request: request.answer(status, content)


class Container:
    """A container's side: its streams, and the answers to ``wait``."""

    def __init__(self) -> None:
        self.streams: socket.socket | None = None
        self.waits: list[Request] = []
        self.attached = threading.Event()
        self.started = threading.Event()
        self.waited = threading.Event()

    def scripts(self, **more: Script) -> dict[str, Script]:
        return more | {
            "POST /containers/create": ok(201, {"Id": ID, "Warnings": []}),
            ATTACH: self._attach,
            WAIT: self._wait,
            START: self._start,
            f"POST /containers/{ID}/resize": ok(200),
            f"POST /containers/{ID}/kill": ok(204),
        }

    def write(self, stream: int, payload: bytes) -> None:
        assert self.streams is not None
        self.streams.sendall(frame(stream, payload))

    def end_streams(self) -> None:
        assert self.streams is not None
        self.streams.shutdown(socket.SHUT_RDWR)

    def exit(self, code: int) -> None:
        assert self.waited.wait(patient(20))
        self.waits[-1].chunk({"StatusCode": code})
        self.waits[-1].end()

    def _attach(self, request: Request) -> None:
        self.streams = request.socket.dup()
        request.socket.sendall(UPGRADED)
        self.attached.set()
        raise BrokenPipeError  # the connection is no longer HTTP

    def _wait(self, request: Request) -> None:
        request.begin()
        self.waits.append(request)
        self.waited.set()

    def _start(self, request: Request) -> None:
        request.answer(204)
        self.started.set()


@pytest.fixture
def container() -> Iterator[Container]:
    one = Container()
    yield one
    if one.streams is not None:
        one.streams.close()


@pytest.fixture
def engine(tmp_path: Path, container: Container) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path / "engine.sock", container.scripts()) as fake:
        yield fake


@contextmanager
def client(
    engine: FakeEngine, *words: str, stdin: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*SHIPSLOG, "-H", engine.host, *words],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(
    process: subprocess.Popen[bytes], given: bytes | None = None
) -> tuple[int, bytes, bytes]:
    out, err = process.communicate(given, timeout=patient(30))
    return process.returncode, out, err


def test_run_attaches_and_waits_before_it_starts_and_exits_as_the_container_did(
    engine: FakeEngine, container: Container
) -> None:
    with client(engine, "run", "--name", "web", "busybox", "ls", "-l") as process:
        assert container.started.wait(patient(20))
        container.write(1, b"out\n")
        container.write(2, b"err\n")
        container.exit(7)
        container.end_streams()
        code, out, err = finish(process)

    assert (code, out, err) == (7, b"out\n", b"err\n")
    assert engine.asked == [
        "POST /containers/create?name=web",
        f"{ATTACH}?stream=1&stderr=1&stdout=1",
        f"{WAIT}?condition=next-exit",
        START,
    ]
    body = json.loads(engine.bodies["POST /containers/create?name=web"])
    assert (body["Image"], body["Cmd"]) == ("busybox", ["ls", "-l"])


def test_run_rm_waits_for_the_removal(engine: FakeEngine, container: Container) -> None:
    with client(engine, "run", "--rm", "busybox") as process:
        container.exit(0)
        container.end_streams()
        assert finish(process)[0] == 0

    assert f"{WAIT}?condition=removed" in engine.asked


def test_run_detached_shows_the_id_and_leaves(engine: FakeEngine) -> None:
    with client(engine, "run", "-d", "busybox") as process:
        assert finish(process) == (0, ID.encode() + b"\n", b"")

    assert [words for words in engine.asked if "attach" in words or "wait" in words] == []


def test_a_daemon_that_dies_and_comes_back_is_asked_again_while_the_streams_go_on(
    engine: FakeEngine, container: Container
) -> None:
    with client(engine, "run", "busybox") as process:
        assert container.started.wait(patient(20))
        assert container.waited.wait(patient(20))
        engine.deafen()
        container.waits[0].socket.shutdown(socket.SHUT_RDWR)
        container.write(1, b"still here\n")
        container.waited.clear()
        engine.listen()
        container.exit(5)
        container.end_streams()
        code, out, _ = finish(process)

    assert (code, out) == (5, b"still here\n")
    assert engine.asked[-1] == WAIT


def test_an_exit_while_the_daemon_was_away_is_in_the_history_of_a_removed_container(
    engine: FakeEngine, container: Container
) -> None:
    def history(request: Request) -> None:
        request.begin()
        request.chunk({"seq": 9, "type": "container_exited", "data": {"code": 42}})
        request.end()

    with client(engine, "run", "--rm", "busybox") as process:
        assert container.started.wait(patient(20))
        assert container.waited.wait(patient(20))
        engine.scripts[WAIT] = ok(404, {"message": f"No such container: {ID}"})
        engine.scripts["GET /shipslog/history"] = history
        container.end_streams()
        container.waits[0].socket.shutdown(socket.SHUT_RDWR)
        code, _, _ = finish(process)

    assert code == 42
    assert engine.asked[-1] == f"GET /shipslog/history?stream_of={ID}&type=container_exited"


def test_the_end_of_input_is_half_a_close(engine: FakeEngine, container: Container) -> None:
    with client(engine, "run", "-i", "busybox", "cat", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"hello")
        process.stdin.close()
        process.stdin = None
        assert container.started.wait(patient(20))
        assert container.streams is not None
        received = b""
        while block := container.streams.recv(100):
            received += block
        container.write(1, b"you said " + received)
        container.exit(0)
        container.end_streams()
        code, out, _ = finish(process)

    assert (code, out) == (0, b"you said hello")


def test_signals_are_passed_on_without_a_terminal(engine: FakeEngine, container: Container) -> None:
    with client(engine, "run", "busybox") as process:
        assert container.started.wait(patient(20))
        process.send_signal(signal.SIGTERM)
        engine.await_asked(f"POST /containers/{ID}/kill?signal=TERM")
        process.send_signal(signal.SIGINT)
        engine.await_asked(f"POST /containers/{ID}/kill?signal=INT")
        container.exit(143)
        container.end_streams()
        assert finish(process)[0] == 143


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ('exec: "nope": executable file not found in $PATH: unknown', 127),
        ('exec: "/etc": permission denied: unknown', 126),
        ("no space left on device", 125),
    ],
)
def test_a_start_that_fails_has_the_exit_code_of_a_shell(
    engine: FakeEngine, reason: str, code: int
) -> None:
    engine.scripts[START] = ok(400, {"message": reason})

    with client(engine, "run", "busybox", "nope") as process:
        ended, out, err = finish(process)

    assert (ended, out) == (code, b"")
    assert err.decode() == (
        f"shipslog: Error response from daemon: {reason}\n\n"
        "Run 'shipslog run --help' for more information\n"
    )


def test_a_missing_image_that_cannot_be_pulled_is_reported(engine: FakeEngine) -> None:
    missing = {"message": "No such image: nope:latest"}
    engine.scripts["POST /containers/create"] = ok(404, missing)
    engine.scripts["POST /images/create"] = ok(501, {"message": "pull is not part of this engine"})

    with client(engine, "run", "nope") as process:
        code, _, err = finish(process)

    assert code == 125
    assert err.decode().startswith(
        "Unable to find image 'nope:latest' locally\n"
        "shipslog: Error response from daemon: pull is not part of this engine\n"
    )
    assert engine.asked[-1] == "POST /images/create?fromImage=nope&tag=latest"


def test_without_a_daemon_the_address_is_named(tmp_path: Path) -> None:
    absent = FakeEngine(tmp_path / "nobody.sock", {})
    with client(absent, "ps") as process:
        code, _, err = finish(process)

    assert code == 1
    assert err.decode() == (
        f"Cannot connect to the Shipslog daemon at {absent.host}. Is the shipslog daemon running?\n"
    )


def test_a_reader_that_leaves_ends_the_client_as_it_ends_any_filter(
    engine: FakeEngine,
) -> None:
    engine.scripts["GET /containers/json"] = ok(200, [])

    with client(engine, "ps") as process:
        assert process.stdout is not None
        process.stdout.close()
        process.wait(patient(20))

    assert process.returncode == -signal.SIGPIPE


class Terminal:
    """A terminal with the client in it."""

    def __init__(self, engine: FakeEngine, *words: str) -> None:
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (40, 100))
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [*SHIPSLOG, "-H", engine.host, *words],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            preexec_fn=lambda: _take_control(self.slave),
            start_new_session=True,
        )

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before

    def read_until(self, wanted: bytes) -> bytes:
        seen = b""
        while wanted not in seen:
            seen += os.read(self.master, 1000)
        return seen

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def _take_control(slave: int) -> None:
    import fcntl

    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal(engine: FakeEngine) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def run(*words: str) -> Terminal:
        opened.append(Terminal(engine, *words))
        return opened[-1]

    yield run
    for one in opened:
        one.close()


def _started(container: Container, terminal: Terminal) -> socket.socket:
    assert container.started.wait(patient(20)), terminal.read_until(b"\n")
    assert container.streams is not None
    return container.streams


def test_a_terminal_is_raw_while_a_container_has_it_and_restored_afterwards(
    engine: FakeEngine, container: Container, terminal: Callable[..., Terminal]
) -> None:
    one = terminal("run", "-it", "busybox", "sh")
    streams = _started(container, one)
    engine.await_asked(f"POST /containers/{ID}/resize?h=40&w=100")
    assert one.is_raw()

    os.write(one.master, b"ls\r\x03")
    assert streams.recv(100) == b"ls\r\x03"
    streams.sendall(b"/ # \xc3\xa9\r\n")
    one.read_until("/ # é\r\n".encode())
    container.exit(3)
    container.end_streams()

    assert one.process.wait(patient(20)) == 3
    assert one.is_as_before()
    create = json.loads(engine.bodies["POST /containers/create"])
    assert create["Tty"]
    assert create["HostConfig"]["ConsoleSize"] == [40, 100]


def test_a_change_of_the_window_is_sent_to_the_engine(
    engine: FakeEngine, container: Container, terminal: Callable[..., Terminal]
) -> None:
    one = terminal("run", "-it", "busybox", "sh")
    _started(container, one)
    engine.await_asked(f"POST /containers/{ID}/resize?h=40&w=100")

    termios.tcsetwinsize(one.slave, (25, 80))

    engine.await_asked(f"POST /containers/{ID}/resize?h=25&w=80")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_that_ends_the_client_leaves_the_terminal_as_it_was(
    number: signal.Signals,
    engine: FakeEngine,
    container: Container,
    terminal: Callable[..., Terminal],
) -> None:
    one = terminal("run", "-it", "busybox", "sh")
    _started(container, one)
    engine.await_asked(f"POST /containers/{ID}/resize")
    assert one.is_raw()

    one.process.send_signal(number)

    assert one.process.wait(patient(20)) == -number
    assert one.is_as_before()


def test_the_detach_keys_leave_the_container_running(
    container: Container, terminal: Callable[..., Terminal]
) -> None:
    one = terminal("run", "-it", "--detach-keys", "ctrl-x,x", "busybox", "sh")
    streams = _started(container, one)

    os.write(one.master, b"ls\x18x")
    assert streams.recv(100) == b"ls\x18x"
    container.end_streams()

    assert one.process.wait(patient(20)) == 0
    assert one.is_as_before()


def test_the_engine_learns_the_detach_keys(
    engine: FakeEngine, container: Container, terminal: Callable[..., Terminal]
) -> None:
    one = terminal("run", "-it", "--detach-keys", "ctrl-x,x", "busybox", "sh")
    _started(container, one)

    assert f"{ATTACH}?detachKeys=ctrl-x%2Cx&stream=1&stderr=1&stdin=1&stdout=1" in engine.asked


def test_no_terminal_is_made_out_of_a_pipe(engine: FakeEngine) -> None:
    with client(engine, "run", "-it", "busybox") as process:
        assert finish(process) == (1, b"", b"the input device is not a TTY\n")

    assert engine.asked == []


def test_an_exec_exits_as_its_process_did(engine: FakeEngine) -> None:
    def start(request: Request) -> None:
        request.socket.sendall(UPGRADED + frame(1, b"out") + frame(2, b"err"))
        request.socket.shutdown(socket.SHUT_RDWR)
        raise BrokenPipeError

    engine.scripts |= {
        "GET /containers/web/json": ok(200, {"Id": ID}),
        "POST /containers/web/exec": ok(201, {"Id": "e1"}),
        "POST /exec/e1/start": start,
        "GET /exec/e1/json": ok(200, {"Running": False, "ExitCode": 4}),
    }

    with client(engine, "exec", "-e", "A=1", "-w", "/w", "web", "ls", "-l") as process:
        assert finish(process) == (4, b"out", b"err")

    body = json.loads(engine.bodies["POST /containers/web/exec"])
    assert (body["Cmd"], body["Env"], body["WorkingDir"]) == (["ls", "-l"], ["A=1"], "/w")
    assert (body["AttachStdin"], body["AttachStdout"]) == (False, True)


def test_a_followed_history_is_shown_line_by_line(engine: FakeEngine) -> None:
    shown = threading.Event()
    event = {"seq": 1, "at_ns": 1, "type": "container_started", "name": "web", "id": ID, "actor": {"kind": "monitor"}, "outcome": ""}  # fmt: skip

    def history(request: Request) -> None:
        request.begin()
        request.chunk(event)
        assert shown.wait(patient(20))
        request.end()

    engine.scripts["GET /shipslog/history"] = history
    words = ["history", "-f", "--type", "container_*", "--actor", "anna", "--since", "5", "web"]
    with client(engine, *words) as process:
        assert process.stdout is not None
        header, line = process.stdout.readline(), process.stdout.readline()
        shown.set()
        assert finish(process)[0] == 0

    assert header.split() == [b"TIME", b"EVENT", b"CONTAINER", b"WHO", b"OUTCOME"]
    assert line.split()[1:] == [b"container_started", b"web", b"(4f4f4f4f4f4f)", b"monitor", b"-"]
    assert engine.asked == [
        "GET /shipslog/history?stream_of=web&since=5000000000&type=container_%2A&actor=anna&follow=1"
    ]


@pytest.mark.parametrize(
    ("report", "code"),
    [
        ({"ok": True, "events": 3, "first_bad_seq": None, "problems": []}, 0),
        ({"ok": False, "events": 3, "first_bad_seq": 2, "problems": ["hash of 2"]}, 1),
    ],
)
def test_verify_exits_as_it_finds(engine: FakeEngine, report: dict[str, Any], code: int) -> None:
    engine.scripts["GET /shipslog/verify"] = ok(200, report)

    with client(engine, "verify") as process:
        ended, _, err = finish(process)

    assert ended == code
    assert (b"first at event 2" in err) == (code == 1)


def test_the_past_is_asked_at_a_moment(engine: FakeEngine) -> None:
    engine.scripts["GET /shipslog/containers/json"] = ok(200, [])
    engine.scripts["GET /shipslog/containers/web/json"] = ok(200, {"Id": ID})

    with client(engine, "ps", "-a", "--at", "2026-11-20T10:00:00Z") as process:
        assert finish(process)[0] == 0
    with client(engine, "inspect", "--at", "1795461697.5", "-f", "{{.ID}}", "web") as process:
        assert finish(process)[1] == ID.encode() + b"\n"

    assert engine.asked == [
        "GET /shipslog/containers/json?all=1&at=1795168800000000000",
        "GET /shipslog/containers/web/json?at=1795461697500000000",
    ]
