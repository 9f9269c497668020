"""Read what monitors have written, each byte once, and wait for more."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from engine.domain import naming
from engine.domain.container.events import ProcessIdentity
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.drivers.processes import identity as process
from engine.drivers.runs.journal import JournalReader
from engine.ports.observation import Fact, ProcessStarted, identity_of, monitor_of

JOURNAL_BYTES_MAX: Final = 64 << 10
"""Length at which a journal's recorded facts are removed from it: some 200 execs."""
LOOK_AGAIN_S: Final = 0.1
"""How long a wait for a monitor relies on hints alone."""


@dataclass(slots=True)
class Journal:
    """A run's journal, with the facts that were read and are not in the log yet."""

    run: int
    reader: JournalReader
    facts: list[Fact] = field(default_factory=list)
    bytes_max: int = JOURNAL_BYTES_MAX

    def after(self, number: int) -> tuple[Fact, ...]:
        """Read on, and return the facts with numbers above ``number``; drop the earlier ones."""
        self.facts = [known for known in self.facts if known.stamp.number > number]
        self.facts.extend(self.reader.read())
        return tuple(self.facts)

    def has_grown_long(self) -> bool:
        """Return whether the journal should be shortened now. True at most once per
        JOURNAL_BYTES_MAX of growth.
        """
        if self.reader.offset < JOURNAL_BYTES_MAX:
            self.bytes_max = JOURNAL_BYTES_MAX
        if self.reader.offset < self.bytes_max:
            return False
        self.bytes_max = self.reader.offset + JOURNAL_BYTES_MAX
        return True


@dataclass(slots=True, kw_only=True)
class Journals:
    """The journals of all containers."""

    data_root: Path
    exec_root: Path
    _open: dict[ContainerId, Journal] = field(default_factory=dict)
    _hinted: dict[ContainerId, trio.Event] = field(default_factory=dict)

    def of(self, container: Container) -> Journal:
        """Return the journal of a container's present run."""
        journal = self._open.get(container.id)
        if journal is None or journal.run != container.run:
            path = naming.journal_path(self.data_root, container.id, container.run)
            journal = self._open[container.id] = Journal(container.run, JournalReader(path))
        return journal

    def forget(self, container: ContainerId) -> None:
        """Forget a container that is being removed."""
        self._open.pop(container, None)
        self._hinted.pop(container, None)

    def process_of(self, container: Container) -> ProcessIdentity | None:
        """Return the container's first process: from the log, or before that from the journal."""
        return container.process or process_in(self.of(container).after(0))

    def monitor_of(self, container: Container) -> ProcessIdentity | None:
        """Return the container's monitor: from the log, or before that from the journal."""
        return container.monitor or monitor_of(self.of(container).after(0))

    def hint(self, container: ContainerId) -> None:
        """Wake those who wait for the journal: it has grown, or its monitor has ended."""
        if (event := self._hinted.pop(container, None)) is not None:
            event.set()

    async def until(
        self, container: Container, happened: Callable[[tuple[Fact, ...]], bool]
    ) -> tuple[Fact, ...]:
        """Wait until the facts meet a condition, or the monitor has ended; return the facts at that
        time.

        The journal is read here, on the trio thread: the monitor has just written these few bytes,
        so they are in memory. When a killed monitor's connection closes, that is a hint, but it may
        hold its lock for some milliseconds more: a hint can come too early.
        """
        bundle = naming.bundle_directory(self.exec_root, container.id)
        while True:
            hinted = self._hinted.setdefault(container.id, trio.Event())
            alive = process.monitor_alive(bundle)  # before the journal: a dead one writes no more
            facts = self.of(container).after(0)
            if happened(facts) or not alive:
                return facts
            with trio.move_on_after(LOOK_AGAIN_S):
                await hinted.wait()


def process_in(facts: tuple[Fact, ...]) -> ProcessIdentity | None:
    """Return the first process named by facts."""
    return next((identity_of(each) for each in facts if isinstance(each, ProcessStarted)), None)
