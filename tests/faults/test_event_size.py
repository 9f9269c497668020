"""Test that requests for too large an event are refused, and leave neither memory nor files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest
from tests.harness.image_archives import image_archive

LARGE: Final = "x" * 6_800_000
ROOM_KB: Final = 20 << 10
"""What the first large request adds permanently: buffers that later ones reuse."""
REFUSAL: Final = "are too much for one event; at most 1048576 are kept"


def requests(container: str) -> Iterator[tuple[str, str, Any, dict[str, Any]]]:
    """Yield a request for each command whose event keeps what its body says: method, path, body,
    query.
    """
    create = {"Image": "busybox", "Cmd": ["true"]}
    for more in (
        {"Env": [f"A={LARGE}"]},
        {"Labels": {"a": LARGE}},
        {"Cmd": [LARGE]},
        {"HostConfig": {"Binds": [f"/tmp:/{LARGE}"]}},
    ):
        yield "POST", "/containers/create", create | more, {}
    yield "POST", f"/containers/{container}/exec", {"Cmd": ["true"], "Env": [f"A={LARGE}"]}, {}
    yield "POST", f"/containers/{container}/exec", {"Cmd": ["true", LARGE]}, {}
    yield "POST", f"/containers/{container}/update", {"CpusetCpus": "0," * 1_000_000 + "0"}, {}
    yield "POST", "/networks/create", {"Name": "large", "Labels": {"a": LARGE}}, {}
    membership = {"Container": container, "EndpointConfig": {"Aliases": [LARGE]}}
    yield "POST", "/networks/mine/connect", membership, {}
    yield "POST", "/commit", {"Labels": {"a": LARGE}}, {"container": container}
    yield "POST", "/images/load", image_archive("large", labels={"a": LARGE}), {}


def memory_kb(daemon: DaemonUnderTest) -> int:
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def image_files(daemon: DaemonUnderTest) -> set[Path]:
    """Return the files of blobs and layers."""
    content, layers = daemon.data_root / "content", daemon.data_root / "layers"
    found = {path for path in (*content.rglob("*"), *layers.rglob("*")) if path.is_file()}
    assert found
    return found


def test_a_request_whose_event_is_too_large_is_refused_and_leaves_nothing(
    program: DaemonUnderTest,
) -> None:
    container = program.api.run("boat", *STOPS_AT_ONCE)
    program.api.post("/networks/create", {"Name": "mine"})
    files, memory = image_files(program), memory_kb(program)

    for method, path, body, query in requests(container):
        reply = program.api.request(method, path, body, **query)
        assert (reply.status, REFUSAL in reply.message) == (400, True), (path, reply.message)

    assert [each["Id"] for each in program.api.ps()] == [container]
    assert image_files(program) == files
    eventually(lambda: memory_kb(program) - memory < ROOM_KB, "the memory is given back")
    assert program.api.status(container) == "running"


def test_a_command_with_a_name_of_a_megabyte_is_refused_in_few_words(
    program: DaemonUnderTest,
) -> None:
    container = program.api.run("boat", *STOPS_AT_ONCE)
    execution = program.api.create_exec(container, LARGE[:1_000_000])
    program.api.create("ship", LARGE[:1_000_000])

    refusals = [
        program.api.request("POST", f"/exec/{execution}/start", {"Detach": True}),
        program.api.request("POST", "/containers/ship/start"),
    ]

    for reply in refusals:
        assert reply.status == 400
        assert reply.message.endswith('": executable file not found in $PATH: unknown')
        assert len(reply.message) < 5000
    assert program.api.status(container) == "running", "its monitor has survived the refusal"
