"""Run sixty-four clients for a minute: half of them create and remove containers, half of them read
everything.
"""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.harness.client import Api, Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest
from tests.load.callers import User, let_them_work

WORKERS: Final = 32
OBSERVERS: Final = 32
LASTS_S: Final = 30.0
_GONE_MEANWHILE: Final = (404, 409)
"""Statuses for a client that reads another client's container, which may end or vanish at any
moment.
"""


@dataclass(slots=True)
class Observer:
    """A caller that changes nothing."""

    number: int
    dice: random.Random
    answers: int = 0
    complaints: list[str] = field(default_factory=list)

    def work(self, api: Api, over: threading.Event) -> None:
        """Read one thing after the other."""
        while not over.is_set():
            if listed := api.ps():
                self._look(api, self.dice.choice(LOOKS), self.dice.choice(listed)["Id"])
            self.answers += 1

    def _look(self, api: Api, look: Callable[[Api, str], object], container: str) -> None:
        try:
            look(api, container)
        except Refused as refused:
            if refused.status not in _GONE_MEANWHILE:
                self.complaints.append(f"{look.__name__} of {container}: {refused}")
        except (OSError, http.client.HTTPException, ValueError, AssertionError) as error:
            self.complaints.append(f"{look.__name__} of {container}: {error!r}")


def _inspect(api: Api, container: str) -> None:
    assert api.inspect(container)["Id"] == container


def _read_logs(api: Api, container: str) -> None:
    api.logs(container)


def _read_events(api: Api, container: str) -> None:
    """Read the events of a container from the beginning."""
    filters = json.dumps({"container": [container]})
    lines = api.call("GET", "/events", since="1", until=f"{time.time()}", filters=filters).body
    actions = [json.loads(line)["Action"] for line in lines.splitlines()]
    assert actions[0] == "create", actions


def _list_processes(api: Api, container: str) -> None:
    assert api.get(f"/containers/{container}/top")["Titles"]


def _read_statistics(api: Api, container: str) -> None:
    api.get(f"/containers/{container}/stats", **{"stream": 0, "one-shot": 1})


def _execute(api: Api, container: str) -> None:
    """Run an exec, and check its output unless the container ended first."""
    code, output = api.exec_output(container, "echo", "here")
    assert (code == 0) == (output == b"here\n"), (code, output)


def _listen(api: Api, container: str) -> None:
    """Open a stream, and close it without reading."""
    with api.attach(container, stdin=0):
        pass


LOOKS: Final = (
    _inspect,
    _read_logs,
    _read_events,
    _list_processes,
    _read_statistics,
    _execute,
    _listen,
)


@pytest.mark.timeout(300)
def test_sixty_four_clients_at_once_are_all_served_and_leave_nothing(
    program: DaemonUnderTest,
) -> None:
    dice = random.Random(64)
    workers = [User(number, random.Random(dice.random())) for number in range(WORKERS)]
    observers = [Observer(number, random.Random(dice.random())) for number in range(OBSERVERS)]
    tasks = _tasks(program.api)

    let_them_work((*workers, *observers), program.api, lambda: time.sleep(LASTS_S))

    everyone: tuple[User | Observer, ...] = (*workers, *observers)
    assert [complaint for each in everyone for complaint in each.complaints] == []
    assert all(each.answers for each in everyone)
    present = program.states()
    assert [wrong for each in workers for wrong in each.disagreements(program.api, present)] == []
    for container in present:
        program.api.remove(container)
    eventually(lambda: _tasks(program.api) <= tasks, "no more tasks than before")
    program.assert_nothing_leaked()


def _tasks(api: Api) -> int:
    found: int = api.get("/info")["NGoroutines"]
    return found
