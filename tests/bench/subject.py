"""Use an engine that is measured: ours, or another one with the same API."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from tests.bench import machine
from tests.bench.daemon import Daemon
from tests.bench.raw_http import Json, Refused, Wire, hijacked

IMAGE: Final = "busybox:latest"
FOREVER: Final = ("sleep", "1000000")


@dataclass(frozen=True, slots=True)
class Subject:
    """An engine at a Unix socket, with the one connection that sequential figures share."""

    host: str
    command: tuple[str, ...]
    """Its own client."""
    owned: Daemon | None = None
    """The daemon behind it, if it is ours to kill."""
    mark: str = field(default_factory=lambda: f"bench-{secrets.token_hex(3)}")
    """The prefix of containers' names, because the engine may have other users."""
    wire: Wire = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "wire", self.connection())

    @property
    def path(self) -> str:
        """Return the path of the socket."""
        return self.host.removeprefix("unix://")

    @property
    def daemon(self) -> Daemon:
        """Return the daemon, which may be killed."""
        assert self.owned is not None
        return self.owned

    def connection(self) -> Wire:
        """Open a connection for a concurrent caller."""
        return Wire(self.path)

    def create(self, *command: str, wire: Wire | None = None, **body: Json) -> str:
        """Create a container of the busybox image, without a network unless ``HostConfig`` has one;
        returns its ID."""
        body = {"Image": IMAGE, "Cmd": command, "HostConfig": {"NetworkMode": "none"}} | body
        target = f"/containers/create?name={self.mark}-{secrets.token_hex(6)}"
        created: str = (wire or self.wire).ask("POST", target, body)["Id"]
        return created

    def start(self, container: str) -> None:
        """Start a container; return when its process runs."""
        self.wire.ask("POST", f"/containers/{container}/start")

    def kill(self, container: str) -> None:
        """Send SIGKILL; return when the container has exited, which not all engines guarantee with
        the first answer.
        """
        self.wire.ask("POST", f"/containers/{container}/kill")
        self.wire.ask("POST", f"/containers/{container}/wait")

    def remove(self, container: str) -> None:
        """Remove a container in any state; ignore one that is gone."""
        with suppress(Refused):
            self.wire.ask("DELETE", f"/containers/{container}?force=1")

    def inspect(self, container: str) -> Json:
        """Return the API's description of a container."""
        return self.wire.ask("GET", f"/containers/{container}/json")

    def pid(self, container: str) -> int:
        """Return the pid of its first process, on the host."""
        found: int = self.inspect(container)["State"]["Pid"]
        return found

    def hijack(self, target: str, body: Json = None) -> machine.Stream:
        """POST, and keep the connection as a stream."""
        return hijacked(self.path, target, body)

    @contextmanager
    def running(self, *command: str, **body: Json) -> Iterator[str]:
        """Run a container for the block, and remove it."""
        container = self.create(*(command or FOREVER), **body)
        try:
            self.start(container)
            yield container
        finally:
            self.remove(container)

    def containers(self) -> list[Json]:
        """Return this subject's containers, in any state."""
        listed = self.wire.ask("GET", "/containers/json?all=1")
        return [each for each in listed if each["Names"][0].startswith(f"/{self.mark}-")]

    def remove_all(self) -> None:
        """Remove the containers that a failed benchmark has left."""
        for container in self.containers():
            self.remove(container["Id"])


def client_environment(host: str) -> dict[str, str]:
    """Return a client's environment: an engine's address, and no setting of the user's."""
    return {"PATH": os.environ.get("PATH", os.defpath), "DOCKER_HOST": host, "HOME": "/"}
