"""Test that thousands of containers leave nothing, while the daemon is killed again and again."""

import http.client
import os
import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final

import pytest

from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.client import Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

LIVES: Final = 2000
LIVES_OF_A_DAEMON: Final = 50
LIVES_AT_ONCE: Final = 4
KILLED_WITHIN_S: Final = 0.1
"""How long after the beginning of its last four containers a daemon is killed, at most."""


@pytest.mark.timeout(600)
def test_two_thousand_containers_with_kills_in_between_leave_nothing(
    daemon: DaemonUnderTest,
) -> None:
    """casebook 8."""
    daemon.api.post("/networks/create", {"Name": "front", "EnableIPv6": True})
    for first in range(0, LIVES, LIVES_OF_A_DAEMON):
        with ThreadPoolExecutor(LIVES_AT_ONCE) as pool:
            lives = range(first, first + LIVES_OF_A_DAEMON - LIVES_AT_ONCE)
            list(pool.map(partial(live, daemon), lives))
            doomed = range(first + LIVES_OF_A_DAEMON - LIVES_AT_ONCE, first + LIVES_OF_A_DAEMON)
            kill = partial(os.kill, daemon.pid, signal.SIGKILL)
            threading.Timer(random.Random(first).random() * KILLED_WITHIN_S, kill).start()
            list(pool.map(partial(live_as_long_as_it_lasts, daemon), doomed))
        eventually(lambda: daemon.has_died, "it was killed")
        daemon.wait_for_death()
        daemon.start()
    for container in daemon.api.ps():
        daemon.api.remove(container["Id"])
    daemon.api.call("DELETE", "/networks/front")
    daemon.assert_nothing_leaked()


def live_as_long_as_it_lasts(daemon: DaemonUnderTest, number: int) -> None:
    with suppress(OSError, http.client.HTTPException, Refused):
        live(daemon, number)


def live(daemon: DaemonUnderTest, number: int) -> None:
    """Create, start, sometimes connect to a second network or end by SIGKILL, remove."""
    chance, name = random.Random(number), f"life{number}"
    first, second = chance.sample(("front", "bridge"), 2)
    settings = {"NetworkMode": first, "PortBindings": {"80/tcp": [{}]}}
    daemon.api.run(name, *STOPS_AT_ONCE, HostConfig=settings)
    if chance.random() < 0.3:
        daemon.api.post(f"/networks/{second}/connect", {"Container": name})
    if chance.random() < 0.1:
        daemon.api.kill(name)
    daemon.api.remove(name)
