"""An engine that is measured: ours, or another one that answers the same API."""

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
    """Somebody who answers at a Unix socket, and the one connection that sequential figures
    share.
    """

    host: str
    command: tuple[str, ...]
    """Its own client."""
    owned: Daemon | None = None
    """The daemon behind it, when it is ours to kill."""
    mark: str = field(default_factory=lambda: f"bench-{secrets.token_hex(3)}")
    """What the names of containers begin with: others may be using the same engine."""
    wire: Wire = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "wire", self.connection())

    @property
    def path(self) -> str:
        """The socket's."""
        return self.host.removeprefix("unix://")

    @property
    def daemon(self) -> Daemon:
        """The daemon that may be killed."""
        assert self.owned is not None
        return self.owned

    def connection(self) -> Wire:
        """One of its own for a caller that works beside others."""
        return Wire(self.path)

    def create(self, *command: str, wire: Wire | None = None, **body: Json) -> str:
        """Create a container of the busybox image, without a network unless ``HostConfig`` has one;
        returns its ID."""
        body = {"Image": IMAGE, "Cmd": command, "HostConfig": {"NetworkMode": "none"}} | body
        target = f"/containers/create?name={self.mark}-{secrets.token_hex(6)}"
        created: str = (wire or self.wire).ask("POST", target, body)["Id"]
        return created

    def start(self, container: str) -> None:
        """Returns when its process runs."""
        self.wire.ask("POST", f"/containers/{container}/start")

    def kill(self, container: str) -> None:
        """SIGKILL; returns when it has exited, which some engines promise with the first answer and
        others do not."""
        self.wire.ask("POST", f"/containers/{container}/kill")
        self.wire.ask("POST", f"/containers/{container}/wait")

    def remove(self, container: str) -> None:
        """Whatever it is doing; one that is gone is removed."""
        with suppress(Refused):
            self.wire.ask("DELETE", f"/containers/{container}?force=1")

    def inspect(self, container: str) -> Json:
        """As the API tells it."""
        return self.wire.ask("GET", f"/containers/{container}/json")

    def pid(self, container: str) -> int:
        """Its first process, on the host."""
        found: int = self.inspect(container)["State"]["Pid"]
        return found

    def hijack(self, target: str, body: Json = None) -> machine.Stream:
        """POST, and keep the connection as a stream."""
        return hijacked(self.path, target, body)

    @contextmanager
    def running(self, *command: str, **body: Json) -> Iterator[str]:
        """A container that runs, and is removed at the end."""
        container = self.create(*(command or FOREVER), **body)
        try:
            self.start(container)
            yield container
        finally:
            self.remove(container)

    def containers(self) -> list[Json]:
        """Those of this subject's mark, whatever their state."""
        listed = self.wire.ask("GET", "/containers/json?all=1")
        return [each for each in listed if each["Names"][0].startswith(f"/{self.mark}-")]

    def remove_all(self) -> None:
        """Whatever a benchmark that failed has left."""
        for container in self.containers():
            self.remove(container["Id"])


def client_environment(host: str) -> dict[str, str]:
    """For a client's process: an engine's address, and nothing of the user's."""
    return {"PATH": os.environ.get("PATH", os.defpath), "DOCKER_HOST": host, "HOME": "/"}
