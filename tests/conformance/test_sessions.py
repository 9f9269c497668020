"""Compare the same sessions with Shipslog and with Docker: outcomes are the same, except for
differences.py.
"""

import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from engine.cli.builtin_image import busybox_tar
from tests.conformance.differences import differences
from tests.conformance.network_sessions import NETWORK_SESSIONS
from tests.conformance.reference import NoReference, reference_engine
from tests.conformance.session_recorder import Session, SessionRecorder, Step
from tests.conformance.sessions import SESSIONS
from tests.harness.client import Api
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

ALL: Final = (*SESSIONS, *NETWORK_SESSIONS)
each_session = pytest.mark.parametrize("session", ALL, ids=[each.__name__ for each in ALL])


@pytest.fixture(scope="module")
def reference(throwaway_namespaces: None) -> Iterator[Api]:
    place = Path(tempfile.mkdtemp(prefix="sl-"))
    try:
        with reference_engine(place) as api:
            api.post("/images/create", busybox_tar(), fromSrc="-", repo="busybox", tag="latest")
            yield api
    except NoReference as absence:
        pytest.skip(str(absence))
    finally:
        shutil.rmtree(place, ignore_errors=True)


@cache
def outcomes_of(session: Session, api: Api) -> tuple[Step, ...]:
    """Return the outcome of each step of a session; nothing is left of it."""
    recorder = SessionRecorder(api)
    try:
        session(recorder)
    finally:
        for each in api.ps():
            api.request("DELETE", f"/containers/{each['Id']}", force=1)
        api.post("/networks/prune")
    return tuple(recorder.steps)


@each_session
def test_a_session_gives_the_expected_output(session: Session, engine: DaemonUnderTest) -> None:
    assert outcomes_of(session, engine.api)
    eventually(lambda: engine.api.ps() == [], "no container is left")


@each_session
def test_a_session_gives_dockers_output(
    session: Session, engine: DaemonUnderTest, reference: Api
) -> None:
    found = list(differences(outcomes_of(session, engine.api), outcomes_of(session, reference)))

    assert not found, "\n".join(found)
