"""Find execs that were not started in time: they would stay as long as their container runs."""

from collections.abc import Iterator

from engine.domain.event import Event
from engine.domain.exec.state import ExecPhase, decide_exec_expired
from engine.domain.streams import exec_stream
from engine.store.projections import View


def expired_execs(view: View, now_ns: int) -> Iterator[tuple[str, tuple[Event, ...]]]:
    """Return the streams of such execs and what is to be recorded of each.

    A container's execs stand in the order of their last event, so the first that may still be
    started ends the search among them.
    """
    for container, execs in view.execs_of.items():
        for execution in execs.values():
            if execution.phase is not ExecPhase.CREATED or not execution.created_ns:
                continue
            events = decide_exec_expired(execution, now_ns)
            if not events:
                break
            yield exec_stream(container, execution.id), events
