"""Test both commands by TCP with certificates: everything that works on the Unix socket, and the
recorded actor.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

from tests.api.certificates import Certificates
from tests.api.clients import BOTH, Client, Done
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

BIG: Final = bytes(range(256)) * (3 * 4096)


class Encrypted:
    """A command whose variables give the engine's address and the certificate."""

    def __init__(self, client: Client, directory: Path) -> None:
        self._client = client
        self._variables = {
            "DOCKER_HOST": "tcp://localhost:2376",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(directory),
        }

    def __call__(self, *words: str, given: bytes = b"") -> Done:
        return self._client(*words, given=given, **self._variables)

    def ok(self, *words: str, given: bytes = b"") -> str:
        return self._client.ok(*words, given=given, **self._variables)

    def started(self, *words: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
        return self._client.started(*words, **self._variables)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="sl-"))  # a socket's path has 108 bytes
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def certificates(place: Path) -> Certificates:
    directory = place / "certificates"
    directory.mkdir()
    return Certificates.make(directory)


@pytest.fixture(scope="module")
def module_daemon(
    throwaway_namespaces: None, place: Path, certificates: Certificates
) -> Iterator[DaemonUnderTest]:
    options = ("-H", "tcp://0.0.0.0", *certificates.options())
    with DaemonUnderTest(place / "d", *options) as daemon:
        yield daemon.start().import_busybox()
        daemon.assert_nothing_leaked()


@pytest.fixture(params=BOTH)
def client(
    request: pytest.FixtureRequest, daemon: DaemonUnderTest, certificates: Certificates
) -> Encrypted:
    inner = Client(request.param, daemon.api.socket_path)
    return Encrypted(inner, certificates.directory / "client")


def actors(daemon: DaemonUnderTest, container: str, event: str) -> list[tuple[str, str]]:
    """Return the actors of an event, and their addresses without the port."""
    found = [entry["actor"] for entry in daemon.api.history(container, type=event)]
    return [(each.get("name", ""), each.get("address", "").rpartition(":")[0]) for each in found]


def test_the_history_has_the_name_of_the_certificate(
    client: Encrypted, daemon: DaemonUnderTest
) -> None:
    client.ok("run", "--name", "named", "busybox", "true")

    for event in ("container_created", "container_attach_opened", "container_start_requested"):
        assert actors(daemon, "named", event) == [("anna", "tcp://127.0.0.1")]
    assert "anna tcp://127.0.0.1:" in Client("shipslog", daemon.api.socket_path).ok(
        "history", "named"
    )


def test_run_reads_input_until_its_end_and_gives_both_streams_and_the_code(
    client: Encrypted,
) -> None:
    done = client(
        "run", "--rm", "-i", "busybox", "sh", "-c", "wc -c; echo err >&2; exit 3", given=BIG
    )

    assert (done.raw_out, done.raw_err, done.code) == (f"{len(BIG)}\n".encode(), b"err\n", 3)


def test_megabytes_come_back_as_they_were(client: Encrypted) -> None:
    done = client("run", "--rm", "-i", "busybox", "cat", given=BIG)

    assert sha256(done.raw_out).digest() == sha256(BIG).digest()


def test_exec_reads_input_until_its_end(client: Encrypted, daemon: DaemonUnderTest) -> None:
    daemon.api.run("host", "sleep", "1000")

    done = client("exec", "-i", "host", "cat", given=BIG)

    assert sha256(done.raw_out).digest() == sha256(BIG).digest()


def test_logs_follow_and_attach_see_what_is_said(
    client: Encrypted, daemon: DaemonUnderTest
) -> None:
    client.ok("run", "-d", "-i", "--name", "talk", "busybox", "cat")
    with client.started("logs", "-f", "talk") as follower, client.started("attach", "talk") as one:
        eventually(
            lambda: bool(daemon.api.history("talk", type="container_attach_opened")),
            "it is attached",
        )
        assert one.stdin is not None
        assert one.stdout is not None
        assert follower.stdout is not None
        one.stdin.write(b"said\n")
        one.stdin.flush()
        assert one.stdout.readline() == b"said\n"
        assert follower.stdout.readline() == b"said\n"

        daemon.api.kill("talk")
        assert one.wait(10) == 137
        assert follower.wait(10) == 0


def test_a_killed_client_is_detached(client: Encrypted, daemon: DaemonUnderTest) -> None:
    client.ok("run", "-d", "-i", "--name", "held", "busybox", "cat")
    with client.started("attach", "held") as process:
        eventually(
            lambda: bool(daemon.api.history("held", type="container_attach_opened")),
            "it is attached",
        )
        process.kill()

    eventually(
        lambda: bool(daemon.api.history("held", type="container_attach_closed")), "it has let go"
    )


def test_images_are_uploaded(client: Encrypted, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    subprocess.run(["tar", "-cf", archive, "-C", "/etc", "hostname"], check=True)

    assert client.ok("import", str(archive), "tiny").startswith("sha256:")
    client.ok("rmi", "tiny")


def test_clients_without_a_certificate_are_refused(
    client: Encrypted, certificates: Certificates, tmp_path: Path
) -> None:
    shutil.copy(certificates.directory / "client" / "ca.pem", tmp_path)
    stranger = Encrypted(client._client, tmp_path)

    done = stranger("ps")

    assert done.code == 1
    assert done.err
