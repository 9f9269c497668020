"""Find execs by ID and by container."""

from engine.domain.exec.state import Exec
from engine.domain.ids import ContainerId, ExecId
from engine.errors import NotFound


class NoSuchExec(NotFound):
    """No exec has that ID."""


class ExecIndex:
    """Maps IDs and containers to the live execs."""

    def __init__(self) -> None:
        self.by_id: dict[ExecId, Exec] = {}
        self.by_container: dict[ContainerId, dict[ExecId, Exec]] = {}

    def add(self, execution: Exec) -> None:
        """Add an exec that the index does not have."""
        self.by_id[execution.id] = execution
        self.by_container.setdefault(execution.container, {})[execution.id] = execution

    def remove(self, execution: Exec) -> None:
        """Remove an exec that the index has."""
        del self.by_id[execution.id]
        siblings = self.by_container[execution.container]
        del siblings[execution.id]
        if not siblings:
            del self.by_container[execution.container]

    def find(self, execution: str) -> Exec:
        """Return the exec with this ID.

        Raises:
            NoSuchExec: there is none, or it has ended.
        """
        if found := self.by_id.get(ExecId(execution)):
            return found
        raise NoSuchExec(f"No such exec instance: {execution}")
