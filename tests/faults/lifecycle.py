"""Run a container's life that passes every failpoint of the daemon, and check what must hold
wherever it broke off.
"""

import http.client
import io
import subprocess
import tarfile
from collections.abc import Callable
from typing import Final

from engine.domain import naming
from engine.domain.ids import ContainerId, SandboxId
from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.client import Api, Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

NAME: Final = "life"
_NETWORK: Final = "lifenet"
_PORT: Final = {"PortBindings": {"80/tcp": [{"HostPort": "8090"}]}}

Step = Callable[[], object]


class Lifecycle:
    """The steps of a life, and which of them were acknowledged."""

    def __init__(self, daemon: DaemonUnderTest) -> None:
        self._daemon = daemon
        self._api: Api = daemon.api
        self.acknowledged: list[str] = []

    def steps(self) -> dict[str, Step]:
        """Return the steps, in order."""
        return {
            "import": self._import,
            "make network": self._make_network,
            "create": lambda: self._api.create(NAME, *STOPS_AT_ONCE, HostConfig=_PORT),
            "start": lambda: self._api.start(NAME),
            "exec": lambda: self._api.exec_detached(NAME, "true"),
            "signal": lambda: self._api.kill(NAME, "CONT"),
            "update": lambda: self._api.post(f"/containers/{NAME}/update", {"PidsLimit": 100}),
            "connect": lambda: self._move("connect"),
            "disconnect": lambda: self._move("disconnect"),
            "commit": lambda: self._api.post("/commit", container=NAME, repo="committed"),
            "pause": lambda: self._api.post(f"/containers/{NAME}/pause"),
            "unpause": lambda: self._api.post(f"/containers/{NAME}/unpause"),
            "damage": self._damage,
            "damage a file": self._damage_a_file,
            "damage a cgroup": self._damage_a_cgroup,
            "stop": lambda: self._api.stop(NAME),
            "start again": lambda: self._api.start(NAME),
            "remove": lambda: self._api.remove(NAME),
            "take network away": self._take_network_away,
        }

    def run(self, *, again: bool = False) -> bool:
        """Take the steps until the daemon dies; return whether it did.

        With ``again``, a step that was refused is repeated once, as a user would.
        """
        for name, step in self.steps().items():
            try:
                self._take(step, again=again)
            except (
                OSError,
                http.client.HTTPException,
            ):  # its sockets close a moment before it is dead
                eventually(lambda: self._daemon.has_died, f"{name}: not answered, so it has died")
                return True
            if self._daemon.has_died:
                return True
            self.acknowledged.append(name)
        return False

    def _take(self, step: Step, *, again: bool) -> None:
        try:
            step()
        except Refused:
            if not again:
                raise
            step()

    def _import(self) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            file = tarfile.TarInfo("greeting")
            file.size = 5
            tar.addfile(file, io.BytesIO(b"ahoy\n"))
        self._api.post("/images/create", archive.getvalue(), fromSrc="-", repo="small", tag="one")

    def _make_network(self) -> None:
        if not self._has_network():
            self._api.post("/networks/create", {"Name": _NETWORK, "EnableIPv6": True})

    def _take_network_away(self) -> None:
        if self._has_network():
            self._api.call("DELETE", f"/networks/{_NETWORK}")

    def _has_network(self) -> bool:
        return any(each["Name"] == _NETWORK for each in self._api.get("/networks"))

    def _move(self, verb: str) -> None:
        """Send a request; repeated after a crash it may be refused, because it was done."""
        wanted = verb == "connect"
        if (_NETWORK in self._api.inspect(NAME)["NetworkSettings"]["Networks"]) != wanted:
            self._api.post(f"/networks/{_NETWORK}/{verb}", {"Container": NAME})

    def _damage(self) -> None:
        """Damage a sandbox, so that it is prepared without the pool."""
        sandbox = SandboxId(self._api.inspect(NAME)["NetworkSettings"]["SandboxID"])
        veth = naming.host_veth(self._daemon.instance, sandbox)
        subprocess.run(["ip", "link", "delete", veth], check=True)
        eventually(lambda: self._is_repaired("sandbox"), "it is repaired", catch=OSError)

    def _damage_a_file(self) -> None:
        container = ContainerId(self._api.inspect(NAME)["Id"])
        hosts = naming.container_directory(self._daemon.data_root, container) / "hosts"
        hosts.unlink(missing_ok=True)
        eventually(lambda: self._is_repaired("files"), "it is repaired", catch=OSError)

    def _damage_a_cgroup(self) -> None:
        """Move the process out of it."""
        container = self._api.inspect(NAME)
        cgroup = self._daemon.cgroup(container["Id"])[0]
        (cgroup.parent.parent / "cgroup.procs").write_text(str(container["State"]["Pid"]))
        eventually(lambda: self._is_repaired("cgroup"), "it is repaired", catch=OSError)

    def _is_repaired(self, what: str) -> bool:
        if self._daemon.has_died:
            return True
        repaired = self._api.history(NAME, type="container_drift_repaired")
        return any(each["data"]["what"] == what for each in repaired)

    # --- Afterwards ---

    def check(self) -> None:
        """Check after the restart that no acknowledged order is lost, and log and kernel agree."""
        verdict = self._api.verify()
        assert verdict["ok"], verdict
        self._daemon.assert_settled()
        images = {tag for each in self._api.get("/images/json") for tag in each["RepoTags"]}
        assert "import" not in self.acknowledged or "small:one" in images
        assert "commit" not in self.acknowledged or "committed:latest" in images
        if "make network" in self.acknowledged and "take network away" not in self.acknowledged:
            types = [each["type"] for each in self._api.history(_NETWORK)]
            assert "network_removed" in types or self._has_network()
        if "create" in self.acknowledged:
            self._check_container()

    def _check_container(self) -> None:
        types = self._api.event_types(NAME)
        events = {
            "start": "container_started",
            "exec": "exec_started",
            "update": "container_updated",
            "connect": "container_connected",
            "disconnect": "container_disconnected",
            "commit": "container_committed",
            "pause": "container_paused",
            "unpause": "container_unpaused",
            "damage": "container_drift_repaired",
            "damage a cgroup": "container_drift_repaired",
            "stop": "container_stop_requested",
            "remove": "container_removed",
        }
        for step, event in events.items():
            assert step not in self.acknowledged or event in types, f"{step} left no {event}"
        starts = self.acknowledged.count("start") + self.acknowledged.count("start again")
        assert types.count("container_started") in (starts, starts + 1)
        present = any(each["Names"] == [f"/{NAME}"] for each in self._api.ps())
        assert present == ("container_removed" not in types)

    def live_on(self) -> None:
        """Check that everything is still usable, and can be removed."""
        if not self._api.ps():
            self._api.create(NAME, *STOPS_AT_ONCE, HostConfig=_PORT)
        if self._api.status(NAME) == "paused":
            self._api.post(f"/containers/{NAME}/unpause")
        self._api.start(NAME)
        assert self._api.exec_output(NAME, "echo", "alive") == (0, b"alive\n")
        self._api.remove(NAME)
        self._import()
        self._take_network_away()
        self._daemon.assert_nothing_leaked()
