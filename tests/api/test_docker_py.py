"""Test docker-py, unmodified: every method of every model does what its documentation says, or is
refused with a reason.
"""

import inspect
import io
import socket
import tarfile
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, Final

import docker
import pytest
from docker import errors
from docker.models import (
    configs,
    containers,
    images,
    networks,
    nodes,
    plugins,
    secrets,
    services,
    swarm,
    volumes,
)
from docker.models.containers import Container

from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

MODELS: Final = (
    docker.DockerClient,
    *(containers.Container, containers.ContainerCollection),
    *(images.Image, images.ImageCollection, images.RegistryData),
    *(networks.Network, networks.NetworkCollection),
    *(volumes.Volume, volumes.VolumeCollection),
    *(plugins.Plugin, plugins.PluginCollection),
    *(nodes.Node, nodes.NodeCollection),
    *(services.Service, services.ServiceCollection),
    *(secrets.Secret, secrets.SecretCollection),
    *(configs.Config, configs.ConfigCollection),
    swarm.Swarm,
)
STAYS: Final = (
    "sh",
    "-c",
    "trap 'exit 3' TERM; echo ready; while :; do sleep 1000 & wait $!; done",
)
NOTHING_TO_CALL_THEM_ON: Final = frozenset(
    {
        *(
            f"Plugin.{name}"
            for name in ("configure", "disable", "enable", "push", "reload", "remove", "upgrade")
        ),
        *(f"Node.{name}" for name in ("reload", "remove", "update")),
        *(
            "NodeCollection.create",
            "ImageCollection.create",
        ),  # of their base class, without a meaning
        *(
            f"Service.{name}"
            for name in ("force_update", "logs", "reload", "remove", "scale", "tasks", "update")
        ),
        *(f"Secret.{name}" for name in ("reload", "remove")),
        *(f"Config.{name}" for name in ("reload", "remove")),
        *(f"Volume.{name}" for name in ("reload", "remove")),
        "Swarm.update",
        *(f"RegistryData.{name}" for name in ("has_platform", "pull", "reload")),
    }
)
"""Methods without objects to call them on: this engine has no plugins and no swarm, and not yet
volumes and registries. The script asks for such objects.
"""


def public_methods(model: type) -> Iterator[str]:
    return (
        name
        for name, value in inspect.getmembers(model, inspect.isfunction)
        if not name.startswith("_") and name != "prepare_model"
    )


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Record which methods are called."""
    called: set[str] = set()

    def noting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*arguments: Any, **options: Any) -> Any:
            called.add(name)
            return method(*arguments, **options)

        return call

    for model in MODELS:
        for name in public_methods(model):
            monkeypatch.setattr(
                model, name, noting(f"{model.__name__}.{name}", getattr(model, name))
            )
    return called


@pytest.fixture
def client(daemon: DaemonUnderTest) -> Iterator[docker.DockerClient]:
    connected = docker.DockerClient(base_url=f"unix://{daemon.api.socket_path}", version="auto")
    yield connected
    connected.close()


def the_engine(client: docker.DockerClient) -> None:
    assert client.ping()
    assert client.version()["ApiVersion"] == "1.51"
    assert client.info()["Driver"] == "overlay2"
    assert {"Images", "Containers", "Volumes", "LayersSize"} <= client.df().keys()
    with pytest.raises(errors.APIError):
        client.login("somebody", "secret", registry="127.0.0.1:1")


def a_life(client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", STAYS, name="life", labels={"who": "py"})
    assert container.status == "created"
    container.start()
    container.reload()
    assert container.status == "running"
    eventually(lambda: container.logs() == b"ready\n", "its first line")
    container.pause()
    assert client.containers.get("life").status == "paused"
    container.unpause()
    container.rename("second-life")
    assert [each.name for each in client.containers.list(filters={"label": "who=py"})] == [
        "second-life"
    ]
    container.update(mem_limit="64m", memswap_limit="128m")
    container.reload()
    assert container.attrs["HostConfig"]["Memory"] == 64 << 20
    assert container.top()["Titles"]
    assert container.stats(stream=False)["memory_stats"]["limit"] == 64 << 20
    container.restart(timeout=5)
    container.stop(timeout=5)
    assert container.wait()["StatusCode"] == 3
    container.start()
    container.kill()
    assert container.wait()["StatusCode"] == 137
    container.remove()
    with pytest.raises(errors.NotFound):
        client.containers.get("second-life")


def runs(client: docker.DockerClient) -> None:
    assert client.containers.run("busybox", ["echo", "here"], remove=True) == b"here\n"
    with pytest.raises(errors.ContainerError) as failed:
        client.containers.run(
            "busybox", ["sh", "-c", "echo lost >&2; exit 4"], remove=True, stderr=True
        )
    assert (failed.value.exit_status, failed.value.stderr) == (4, b"lost\n")
    with pytest.raises(errors.APIError, match=r"No such image|not supported"):
        client.containers.run("no-such-image", ["true"])


def streams(container: Container) -> None:
    code, output = container.exec_run(
        ["sh", "-c", "echo $NAME; exit 5"], environment={"NAME": "exec"}
    )
    assert (code, output) == (5, b"exec\n")
    assert container.exec_run(["true"], detach=True).exit_code in (None, 0)
    assert container.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True).output == (
        b"out\n",
        b"err\n",
    )
    assert b"ready\n" in container.attach(stream=False, logs=True)
    _converse(container.client)


def _converse(client: docker.DockerClient) -> None:
    cat = client.containers.create("busybox", ["cat"], stdin_open=True, tty=False)
    taken = cat.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    cat.start()
    taken._sock.sendall(b"to and fro\n")
    taken._sock.shutdown(socket.SHUT_WR)
    assert taken.read() == b"\x01\x00\x00\x00\x00\x00\x00\x0bto and fro\n"
    taken._response.close()
    assert cat.wait()["StatusCode"] == 0
    cat.remove()


def files(container: Container) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("hello")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"hello"))
    assert container.put_archive("/tmp", packed.getvalue())
    blocks, status = container.get_archive("/tmp/hello")
    assert status["size"] == 5
    with tarfile.open(fileobj=io.BytesIO(b"".join(blocks))) as archive:
        member = archive.extractfile("hello")
        assert member is not None
        assert member.read() == b"hello"
    assert {"Path": "/tmp/hello", "Kind": 1} in container.diff()
    with tarfile.open(fileobj=io.BytesIO(b"".join(container.export()))) as archive:
        assert "tmp/hello" in archive.getnames()


def terminals(client: docker.DockerClient) -> None:
    screen = client.containers.run("busybox", STAYS, tty=True, detach=True)
    screen.resize(40, 120)
    assert screen.exec_run(
        ["stty", "size"], tty=True
    ).output  # the size of a new terminal may be any
    screen.remove(force=True)


def pictures(client: docker.DockerClient, container: Container) -> None:
    image = client.images.get("busybox")
    assert image.tag("copied", "one")
    image.reload()
    assert set(image.tags) == {"busybox:latest", "copied:one"}
    assert image.history()
    assert [each.id for each in client.images.list(name="copied")] == [image.id]
    client.images.remove("copied:one")
    committed = container.commit("made", "here", message="by a script")
    assert committed.tags == ["made:here"]
    saved = b"".join(committed.save(named=True))
    committed.remove(force=True)
    (loaded,) = client.images.load(saved)
    assert loaded.tags == ["made:here"]
    loaded.remove(force=True)
    assert client.images.prune()["SpaceReclaimed"] >= 0


def reports_events(client: docker.DockerClient, container: Container) -> None:
    events = client.events(
        since=1, until=4_000_000_000, filters={"container": container.id}, decode=True
    )
    assert next(events)["Action"] == "create"
    events.close()


def what_there_is_not(client: docker.DockerClient, directory: Path) -> None:
    """Check the error for each unsupported thing; lists are empty."""
    registry = (
        client.images.pull,
        client.images.push,
        client.images.search,
        client.images.get_registry_data,
    )
    for ask in registry:
        with pytest.raises(errors.APIError):
            _spent(ask("nobody/nothing"))
    with pytest.raises((errors.APIError, errors.BuildError)):
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\n"))
    assert client.images.prune_builds()["SpaceReclaimed"] == 0
    bridge = client.networks.get("bridge")
    bridge.reload()
    assert {each.name for each in client.networks.list()} == {"bridge", "host", "none"}
    with pytest.raises(errors.APIError, match="pre-defined"):
        bridge.remove()
    mine = client.networks.create("mine", labels={"of": "mine"})
    joined = client.containers.create("busybox", "true")
    mine.connect(joined, aliases=["web"])
    joined.reload()
    assert set(joined.attrs["NetworkSettings"]["Networks"]) == {"bridge", "mine"}
    mine.disconnect(joined)
    joined.remove()
    mine.remove()
    assert client.networks.prune()["NetworksDeleted"] in (None, [])
    assert client.volumes.list() == []
    with pytest.raises(errors.NotFound):
        client.volumes.get("none")
    with pytest.raises(errors.APIError):
        client.volumes.create("none")
    assert client.volumes.prune()["SpaceReclaimed"] == 0
    (directory / "config.json").write_text("{}")
    (directory / "rootfs").mkdir()
    _no_plugins(client, directory)
    _no_swarm(client)


def _spent(answer: Any) -> None:
    """Read an answer to its end: Docker reports the end of a push in the stream of a 200."""
    if isinstance(answer, str) and '"error"' in answer:
        raise errors.APIError(answer)


def _no_plugins(client: docker.DockerClient, directory: Path) -> None:
    assert client.plugins.list() == []
    with pytest.raises(errors.NotFound):
        client.plugins.get("none")
    with pytest.raises(errors.APIError):
        client.plugins.install("nobody/none")
    with pytest.raises(errors.APIError):
        client.plugins.create("none", str(directory))


def _no_swarm(client: docker.DockerClient) -> None:
    no_manager = "This node is not a swarm manager"
    for collection in (client.nodes, client.services, client.secrets, client.configs):
        with pytest.raises(errors.APIError, match=no_manager):
            collection.list()
        with pytest.raises(errors.APIError, match=no_manager):
            collection.get("none")
    with pytest.raises(errors.APIError, match=no_manager):
        client.services.create("busybox")
    with pytest.raises(errors.APIError, match=no_manager):
        client.secrets.create(name="none", data=b"x")
    with pytest.raises(errors.APIError, match=no_manager):
        client.configs.create(name="none", data=b"x")
    for ask in (
        client.swarm.init,
        lambda: client.swarm.join(["127.0.0.1"], "token"),
        client.swarm.leave,
        client.swarm.reload,
        client.swarm.get_unlock_key,
        lambda: client.swarm.unlock("key"),
    ):
        with pytest.raises(errors.APIError):
            ask()


def test_a_script_uses_every_method_of_every_model(
    used: set[str], client: docker.DockerClient, tmp_path: Path
) -> None:
    the_engine(client)
    a_life(client)
    runs(client)
    container = client.containers.run("busybox", STAYS, detach=True, name="long")
    eventually(lambda: container.logs() == b"ready\n", "its first line")
    streams(container)
    files(container)
    terminals(client)
    pictures(client, container)
    reports_events(client, container)
    what_there_is_not(client, tmp_path)
    container.stop()
    assert container.id in client.containers.prune()["ContainersDeleted"]
    client.close()

    expected = {f"{model.__name__}.{name}" for model in MODELS for name in public_methods(model)}
    assert expected - used == NOTHING_TO_CALL_THEM_ON
