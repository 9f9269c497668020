"""Read the log's events about changes by hand."""

from typing import Final

from tests.harness.client import Json
from tests.harness.daemon import DaemonUnderTest

NOTICED_S: Final = 3.0
"""Two seconds, and the delay of a busy machine."""


def types_of(events: list[Json], kind: str) -> list[str]:
    return [event["data"]["what"] for event in events if event["type"] == kind]


def is_repaired(daemon: DaemonUnderTest, container: str, what: str) -> bool:
    events = daemon.api.history(container)
    return types_of(events, "container_drift_detected") == [what] and types_of(
        events, "container_drift_repaired"
    ) == [what]


def network_is_repaired(daemon: DaemonUnderTest, what: str) -> bool:
    drifted = daemon.api.history(type="network_drift_detected")
    repaired = daemon.api.history(type="network_drift_repaired")
    return what in types_of(drifted, "network_drift_detected") and len(drifted) == len(repaired)
