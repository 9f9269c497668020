"""Test what happens to containers while there is no daemon: it is correctly and completely in the
log when the daemon is back.
"""

import os
import signal
import threading
import time
from contextlib import suppress

from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.client import Json, Refused
from tests.harness.conditions import eventually, wait_until_gone
from tests.harness.daemon import DaemonUnderTest

EXITS_42 = ("sh", "-c", "trap 'exit 42' TERM; while :; do sleep 1000 & wait $!; done")
COUNTS = ("sh", "-c", "n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done")
IGNORES_TERM = ("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1000; done")


def only_event(daemon: DaemonUnderTest, container: str, kind: str) -> Json:
    (event,) = daemon.api.history(container, type=kind)
    return event


def pid_of(daemon: DaemonUnderTest, container: str) -> int:
    return int(daemon.api.inspect(container)["State"]["Pid"])


def test_an_exit_is_recorded_with_its_true_time_and_code(program: DaemonUnderTest) -> None:
    identity = program.api.run("leaver", *EXITS_42)
    init, monitor = pid_of(program, identity), program.monitor_pid(identity)
    program.kill()
    earliest_ns = time.time_ns()
    os.kill(init, signal.SIGTERM)
    wait_until_gone(monitor)
    latest_ns = time.time_ns()

    program.start()

    state = program.api.inspect(identity)["State"]  # the very first answer
    assert (state["Status"], state["ExitCode"], state["Pid"]) == ("exited", 42, 0)
    exited = only_event(program, identity, "container_exited")
    assert earliest_ns <= exited["at_ns"] <= latest_ns
    assert exited["actor"]["kind"] == "monitor"
    assert exited["data"]["reason"] == "exited"
    program.assert_nothing_leaked()


def test_when_the_monitor_dies_too_the_container_is_exited_and_the_reason_says_why(
    daemon: DaemonUnderTest,
) -> None:
    identity = daemon.api.run("orphan", *STOPS_AT_ONCE)
    init, monitor = pid_of(daemon, identity), daemon.monitor_pid(identity)
    daemon.kill()
    os.kill(monitor, signal.SIGKILL)
    wait_until_gone(monitor)

    daemon.start()

    eventually(lambda: daemon.api.status(identity) == "exited", "the container counts as ended")
    assert only_event(daemon, identity, "container_exited")["data"]["reason"] == "monitor lost"
    wait_until_gone(init)
    daemon.assert_settled()
    daemon.api.start(identity)
    assert daemon.api.status(identity) == "running"


def test_monitor_and_process_both_dead_is_never_shown_as_running(daemon: DaemonUnderTest) -> None:
    identity = daemon.api.run("gone", *STOPS_AT_ONCE)
    init, monitor = pid_of(daemon, identity), daemon.monitor_pid(identity)
    daemon.kill()
    for pid in (monitor, init):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_until_gone(pid)

    daemon.start()

    assert daemon.api.status(identity) == "exited"
    assert only_event(daemon, identity, "container_exited")["data"]["reason"] == "monitor lost"


def test_output_is_in_the_log_without_a_gap(daemon: DaemonUnderTest) -> None:
    identity = daemon.api.run("counter", *COUNTS)
    eventually(lambda: daemon.api.logs(identity), "it counts")
    daemon.kill()
    log = daemon.data_root / "containers" / identity / f"{identity}-json.log"
    size = log.stat().st_size
    eventually(lambda: log.stat().st_size > size + 1000, "output goes on being logged")

    daemon.start()

    at_return = len(daemon.api.logs(identity).split())
    eventually(
        lambda: len(daemon.api.logs(identity).split()) > at_return + 10, "and goes on afterwards"
    )
    numbers = [int(word) for word in daemon.api.logs(identity).split()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_an_attached_stream_outlives_the_daemon(program: DaemonUnderTest) -> None:
    identity = program.api.run("echo", "cat", OpenStdin=True)
    with program.api.attach(identity) as stream:
        stream.send(b"before\n")
        stream.read_until(b"before\n")
        program.kill()
        stream.send(b"during\n")
        assert stream.read_until(b"during\n")
        program.start()
        stream.send(b"after\n")
        assert stream.read_until(b"after\n")

    assert program.api.logs(identity) == b"before\nduring\nafter\n"
    assert pid_of(program, identity) > 0


def test_an_exec_that_ends_meanwhile_has_its_exit_code(daemon: DaemonUnderTest) -> None:
    identity = daemon.api.run("host", *STOPS_AT_ONCE)
    leaver = daemon.api.exec_detached(identity, *EXITS_42)
    stayer = daemon.api.exec_detached(identity, *STOPS_AT_ONCE)
    pids = {each: daemon.api.get(f"/exec/{each}/json")["Pid"] for each in (leaver, stayer)}
    daemon.kill()
    os.kill(pids[leaver], signal.SIGTERM)
    wait_until_gone(pids[leaver])

    daemon.start()

    eventually(
        lambda: not daemon.api.get(f"/exec/{leaver}/json")["Running"], "the exec counts as ended"
    )
    assert daemon.api.get(f"/exec/{leaver}/json")["ExitCode"] == 42
    still = daemon.api.get(f"/exec/{stayer}/json")
    assert (still["Running"], still["Pid"]) == (True, pids[stayer])


def test_an_attached_exec_goes_on(daemon: DaemonUnderTest) -> None:
    identity = daemon.api.run("host", *STOPS_AT_ONCE)
    command = {"Cmd": ["cat"], "AttachStdin": True, "AttachStdout": True}
    exec_id = daemon.api.post(f"/containers/{identity}/exec", command).json["Id"]
    with daemon.api.hijack(f"/exec/{exec_id}/start", {"Detach": False}) as stream:
        stream.send(b"before\n")
        stream.read_until(b"before\n")
        daemon.kill()
        stream.send(b"during\n")
        stream.read_until(b"during\n")
        stream.end_input()
        assert list(stream.frames()) == []

    daemon.start()

    eventually(lambda: not daemon.api.get(f"/exec/{exec_id}/json")["Running"], "it has ended")
    assert daemon.api.get(f"/exec/{exec_id}/json")["ExitCode"] == 0


def test_a_stop_that_was_accepted_is_completed(daemon: DaemonUnderTest) -> None:
    """casebook 3: the SIGKILL hits the daemon between the intent and the SIGKILL that ends the
    grace period.
    """
    identity = daemon.api.run("stubborn", *IGNORES_TERM)
    eventually(lambda: daemon.api.logs(identity) == b"ready\n", "it ignores SIGTERM by now")
    asking = threading.Thread(target=_ask_to_stop, args=(daemon, identity))
    asking.start()
    eventually(
        lambda: "container_signalled" in daemon.api.event_types(identity), "the stop is under way"
    )

    daemon.kill()
    asking.join()
    daemon.start()

    eventually(lambda: daemon.api.status(identity) == "exited", "the stop is completed")
    assert daemon.api.inspect(identity)["State"]["ExitCode"] == 137
    assert daemon.api.event_types(identity).count("container_stop_requested") == 1


def _ask_to_stop(daemon: DaemonUnderTest, container: str) -> None:
    with suppress(OSError, Refused, Exception):  # the daemon dies while it answers
        daemon.api.stop(container, timeout_s=1)


def test_a_paused_container_stays_paused(daemon: DaemonUnderTest) -> None:
    identity = daemon.api.run("still", *COUNTS)
    daemon.api.post(f"/containers/{identity}/pause")

    daemon.restart()

    assert daemon.api.status(identity) == "paused"
    daemon.assert_settled()
    daemon.api.post(f"/containers/{identity}/unpause")
    before = daemon.api.logs(identity)
    eventually(lambda: len(daemon.api.logs(identity)) > len(before), "it counts again")


def test_a_restart_policy_is_kept(daemon: DaemonUnderTest) -> None:
    policy = {"RestartPolicy": {"Name": "always"}}
    identity = daemon.api.run("phoenix", *EXITS_42, HostConfig=policy)
    init, monitor = pid_of(daemon, identity), daemon.monitor_pid(identity)
    daemon.kill()
    os.kill(init, signal.SIGTERM)
    wait_until_gone(monitor)

    daemon.start()

    eventually(lambda: daemon.api.status(identity) == "running", "it runs again")
    assert pid_of(daemon, identity) != init
    assert daemon.api.inspect(identity)["RestartCount"] == 1
    assert only_event(daemon, identity, "container_exited")["data"]["code"] == 42


def test_a_container_to_be_removed_at_its_end_is_removed(daemon: DaemonUnderTest) -> None:
    identity = daemon.api.run("fleeting", *EXITS_42, HostConfig={"AutoRemove": True})
    init, monitor = pid_of(daemon, identity), daemon.monitor_pid(identity)
    daemon.kill()
    os.kill(init, signal.SIGTERM)
    wait_until_gone(monitor)

    daemon.start()

    eventually(lambda: not daemon.api.ps(), "it is removed")
    assert only_event(daemon, identity, "container_exited")["data"]["code"] == 42
    daemon.assert_nothing_leaked()
