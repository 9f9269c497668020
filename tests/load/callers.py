"""Simulate eight users at once, each with containers of their own; compare the answers that they
got with the engine's state.

What was answered must hold afterwards, whatever happened to the daemon; what was requested without
an answer may hold or not.
"""

import http.client
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.client import Api, Json, Refused

CONTAINERS_EACH: Final = 3
_OVERTAKEN: Final = (304, 404, 409)
"""Statuses of a request that was already carried out: it was sent in the round before, without an
answer.
"""


@dataclass(slots=True)
class OwnedContainer:
    """One container, as its owner knows it."""

    identity: str
    name: str
    fleeting: bool
    """Whether it is removed at its end."""
    starts: int = 0
    execs: list[str] = field(default_factory=list)
    running: bool | None = False
    """Whether it runs; None while a request is without an answer."""
    removed: bool | None = False
    renaming_to: str = ""
    """The new name of a rename that is without an answer."""


@dataclass(slots=True)
class User:
    """One user: a thread for each round."""

    number: int
    dice: random.Random
    owned: list[OwnedContainer] = field(default_factory=list)
    asked_names: set[str] = field(default_factory=set)
    """Names of containers whose creation was requested without an answer."""
    complaints: list[str] = field(default_factory=list)
    answers: int = 0
    _counter: int = 0

    def work(self, api: Api, over: threading.Event) -> None:
        """Send requests until the daemon no longer answers."""
        while not over.is_set():
            try:
                self._give_an_order(api)
            except (OSError, http.client.HTTPException):
                return
            except Refused as refused:
                self.complaints.append(f"user {self.number}: {refused}")
                return
            self.answers += 1

    def _give_an_order(self, api: Api) -> None:
        mine = [each for each in self.owned if each.removed is False]
        if len(mine) < CONTAINERS_EACH:
            self._create(api)
            return
        known = self.dice.choice(mine)
        if known.running is False:
            order = self.dice.choice((self._start, self._start, self._rename, self._remove))
        else:
            busy = (
                self._execute,
                self._execute,
                self._kill,
                self._stop,
                self._rename,
                self._remove,
            )
            order = self.dice.choice(busy)
        try:
            order(api, known)
        except Refused as refused:
            if known.running is not None or refused.status not in _OVERTAKEN:
                raise
            known.running = False  # it ended meanwhile, by a request without an answer

    def _create(self, api: Api) -> None:
        self._counter += 1
        name, fleeting = f"p{self.number}-{self._counter}", self.dice.random() < 0.3
        self.asked_names.add(name)
        identity = api.create(name, *STOPS_AT_ONCE, HostConfig={"AutoRemove": fleeting})
        self.asked_names.discard(name)
        self.owned.append(OwnedContainer(identity, name, fleeting))

    def _start(self, api: Api, known: OwnedContainer) -> None:
        known.running = None
        api.start(known.identity)
        known.running = True
        known.starts += 1

    def _execute(self, api: Api, known: OwnedContainer) -> None:
        known.execs.append(api.exec_detached(known.identity, "true"))

    def _end(self, known: OwnedContainer, order: Callable[[], object]) -> None:
        known.running = None
        known.removed = None if known.fleeting else False
        order()
        known.running = False
        known.removed = known.fleeting

    def _kill(self, api: Api, known: OwnedContainer) -> None:
        self._end(known, lambda: api.kill(known.identity))

    def _stop(self, api: Api, known: OwnedContainer) -> None:
        self._end(known, lambda: api.stop(known.identity))

    def _rename(self, api: Api, known: OwnedContainer) -> None:
        self._counter += 1
        known.renaming_to = f"p{self.number}-{self._counter}"
        api.post(f"/containers/{known.identity}/rename", name=known.renaming_to)
        known.name, known.renaming_to = known.renaming_to, ""

    def _remove(self, api: Api, known: OwnedContainer) -> None:
        known.removed = None
        api.remove(known.identity)
        known.removed = True

    # --- Afterwards ---

    def disagreements(self, api: Api, present: dict[str, Json]) -> list[str]:
        """Return where the engine's state contradicts the answers that this user got."""
        return [
            f"{known.name}: {wrong}"
            for known in self.owned
            for wrong in (
                *_forgotten(known, api.event_types(known.identity)),
                *_untrue(known, present.get(known.identity)),
            )
        ]

    def learn(self, present: dict[str, Json]) -> None:
        """Take over the engine's state for requests without an answer."""
        for known in self.owned:
            here = present.get(known.identity)
            known.removed = here is None
            known.running = here is not None and here["State"]["Status"] == "running"
            if here is not None:
                known.name, known.renaming_to = here["Name"].removeprefix("/"), ""


def _forgotten(known: OwnedContainer, types: list[str]) -> Iterator[str]:
    if "container_created" not in types:
        yield "its creation is forgotten"
    if types.count("container_started") < known.starts:
        yield f"started {known.starts} times, its history is {types}"
    if types.count("exec_started") < len(known.execs):
        yield f"{len(known.execs)} execs, its history is {types}"
    if known.removed and types[-1] != "container_removed":
        yield f"removed, its history is {types}"


def _untrue(known: OwnedContainer, here: Json | None) -> Iterator[str]:
    if here is None:
        if known.removed is False:
            yield "gone without a removal"
        return
    if known.removed:
        yield "here, although it was removed"
    name, status = here["Name"].removeprefix("/"), here["State"]["Status"]
    if name not in (known.name, known.renaming_to):
        yield f"called {name}"
    if known.running is not None and (status == "running") != known.running:
        yield f"{status}, expected running={known.running}"


class Caller(Protocol):
    """A caller that keeps an engine busy."""

    def work(self, api: Api, over: threading.Event) -> None:
        """Send requests until the end, or until the daemon no longer answers."""
        ...


def let_them_work(users: Sequence[Caller], api: Api, until: Callable[[], None]) -> None:
    """Let all callers work at once, until ``until`` returns."""
    over = threading.Event()
    threads = [threading.Thread(target=user.work, args=(api, over)) for user in users]
    for thread in threads:
        thread.start()
    until()
    over.set()
    for thread in threads:
        thread.join()
