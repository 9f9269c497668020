"""Test Testcontainers, unmodified: what test suites of other projects do with an engine."""

import urllib.request
from pathlib import Path

import pytest
from testcontainers.core import config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy, PortWaitStrategy

from tests.harness.daemon import DaemonUnderTest

SERVER = "mkdir /www; echo served > /www/index.html; echo listening; httpd -f -p 8080 -h /www"


@pytest.fixture
def engine(daemon: DaemonUnderTest, monkeypatch: pytest.MonkeyPatch) -> DaemonUnderTest:
    """Set the environment as in a CI job; nothing that would have to be pulled runs beside the
    tests.
    """
    monkeypatch.setenv("DOCKER_HOST", f"unix://{daemon.api.socket_path}")
    monkeypatch.setattr(config.testcontainers_config, "ryuk_disabled", True)
    return daemon


def test_a_container_is_waited_for_by_its_log(engine: DaemonUnderTest) -> None:
    waits = LogMessageWaitStrategy("ready to serve")
    with (
        DockerContainer("busybox")
        .with_command("sh -c 'echo ready to serve; exec sleep 1000'")
        .waiting_for(waits) as container
    ):
        out, err = container.get_logs()

        assert (out, err) == (b"ready to serve\n", b"")
        assert container.exec(["echo", "inside"]).output == b"inside\n"

    assert engine.api.ps() == []


def test_a_container_is_waited_for_by_its_port_and_reached_there(engine: DaemonUnderTest) -> None:
    server = DockerContainer("busybox").with_command(["sh", "-c", SERVER]).with_exposed_ports(8080)
    with server.waiting_for(PortWaitStrategy(8080)) as container:
        where = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(8080)}/"

        with urllib.request.urlopen(where, timeout=10) as answer:
            assert answer.read() == b"served\n"


def test_a_container_has_its_environment_and_files(engine: DaemonUnderTest, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("from the host\n")
    command = ["sh", "-c", "echo $GREETING; cat /given/given; sleep 1000"]
    wanted = (
        DockerContainer("busybox")
        .with_env("GREETING", "hello")
        .with_volume_mapping(str(tmp_path), "/given")
        .with_command(command)
        .waiting_for(LogMessageWaitStrategy("from the host"))
    )
    with wanted as container:
        assert container.get_logs()[0] == b"hello\nfrom the host\n"
