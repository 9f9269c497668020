"""Test a terminal of the container's own."""

import os
import re
from collections.abc import Callable

from engine.runtime.bundle import Bundle
from tests.kernel.runtime import bundles
from tests.kernel.runtime.bundles import RunContainer, shell


def test_a_terminal_is_its_stdio_its_console_and_its_sessions(run: RunContainer) -> None:
    process = {"terminal": True, "consoleSize": {"height": 33, "width": 120}}
    seen = run(
        *shell(
            "tty; stty size; stat -c '%t:%T %g %a' /dev/console /dev/pts/0; cat /proc/$$/stat | cut -d' ' -f 7,8"
        ),
        process=process,
    )

    assert seen.lines == ["/dev/pts/0", "33 120", "88:0 5 620", "88:0 5 620", "34816 1"]


def test_a_terminal_is_its_users(run: RunContainer) -> None:
    seen = run(
        *shell("stat -c %u /dev/pts/0; echo > /dev/tty && echo > /dev/pts/0 && echo fine"),
        process={"terminal": True, "user": {"username": "nobody"}},
    )

    assert [line for line in seen.lines if line] == ["65534", "fine"]


def test_a_terminal_has_job_control(make: Callable[..., Bundle]) -> None:
    """Ctrl-Z stops the job and not the shell, which needs a controlling terminal."""

    def act(monitor: bundles.Monitor) -> str:
        first = monitor.init()
        first.read_until("# ")
        os.write(first.console_fd, b"sleep 60; true\n")
        while monitor.exec("pidof", "sleep", terminal=False).code:
            pass
        os.write(first.console_fd, b"\x1a")
        first.read_until("# ")
        os.write(first.console_fd, b"jobs\n")
        listed = first.read_until("sleep 60")
        first.kill()
        return listed

    listed = bundles.in_monitor(make("sh", process={"terminal": True}), act)

    assert re.search(r"\[1\].*Stopped +sleep 60", listed)
