"""Start, kill and restart one daemon with roots of its own, in the test's network and mount
namespaces.
"""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from engine.cli.builtin_image import busybox_tar
from engine.domain import naming
from engine.domain.ids import InstanceId
from engine.failpoints import VARIABLE as FAILPOINTS
from tests.conformance.answer_log import AnswerLog
from tests.harness import kernel_inventory
from tests.harness.client import Api, Json
from tests.harness.conditions import eventually, settled, wait_until_gone
from tests.harness.forked import Forked
from tests.harness.kernel_inventory import KernelInventory, Roots, read_inventory

REPOSITORY: Final = Path(__file__).parent.parent.parent
READY_S: Final = 20.0
STOP_S: Final = 20.0

_busybox: list[bytes] = []


class DaemonUnderTest:
    """A daemon and, at the end of the test, the removal of everything that it made.

    Attributes:
        place: the directory of ``data``, ``exec``, ``api.sock``, ``log`` and ``answers``; its path
            is short, because a socket's path has 108 bytes at most.
        answer_log: every answer that it gave; they are compared with the API's description.

    With ``forked`` it is forked from the test process, which must have one thread only then: see
    ``forked.py``.
    """

    def __init__(
        self, place: Path, *options: str, data_root: Path | None = None, forked: bool = False
    ) -> None:
        self.place = place
        self.data_root = data_root or place / "data"
        self.exec_root = place / "exec"
        self.log_path = place / "log"
        self.api = Api(place / "api.sock")
        self.answer_log = AnswerLog(place / "answers")
        self._options = options
        self._forked = forked
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self._instance: InstanceId | None = None
        place.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        self.clean_up()
        self.answer_log.close()
        if error_type is None:
            self.answer_log.assert_all_conform()

    # --- The process ---

    def start(self, failpoints: str = "", *, wait: bool = True) -> Self:
        """Start the daemon, with points armed where it must fail or die; return when it answers.

        With points armed it may die before: then see :meth:`has_died`.
        """
        assert self._process is None, "it runs already"
        self._process = self._launch({FAILPOINTS: failpoints})
        if wait:
            eventually(self._answers_or_died, "the daemon answers", within_s=READY_S)
            if not failpoints:
                assert not self.has_died, f"the daemon died at its start:\n{self.log[-3000:]}"
                assert self.instance, "to be remembered: a test may damage the database"
        return self

    def _launch(self, environment: dict[str, str]) -> "subprocess.Popen[bytes] | Forked":
        if self._forked:
            arguments = [str(self.answer_log.path), *self.arguments()]
            return Forked(arguments, environment, self.log_path)
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                self.command(),
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def command(self) -> list[str]:
        """Return the command that starts it."""
        recorded = ["-m", "tests.harness.recording", str(self.answer_log.path)]
        return [sys.executable, *recorded, *self.arguments()]

    def arguments(self) -> list[str]:
        """Return its arguments."""
        return [
            *("-H", f"unix://{self.api.socket_path}"),
            *("--data-root", str(self.data_root), "--exec-root", str(self.exec_root)),
            *self._options,
        ]

    def _answers_or_died(self) -> bool:
        return self.has_died or self.answers

    @property
    def answers(self) -> bool:
        """True if the API answers."""
        try:
            return self.api.request("GET", "/_ping").status == 200
        except OSError:
            return False

    @property
    def has_died(self) -> bool:
        """True if its process has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """Return its standard error, of all its lives."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def kill(self) -> None:
        """Send SIGKILL, and reap it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wait_for_death(self) -> int:
        """Wait for an end that comes by itself; return the return code."""
        assert self._process is not None
        code = self._process.wait(READY_S)
        self._process = None
        return code

    def terminate(self) -> int:
        """Send SIGTERM; return the return code."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(STOP_S)
        self._process = None
        return code

    def restart(self) -> Self:
        """Kill it and start it again."""
        self.kill()
        return self.start()

    # --- Objects ---

    def import_busybox(self) -> Self:
        """Import the image ``busybox``."""
        if not _busybox:
            _busybox.append(busybox_tar())
        self.api.post("/images/create", _busybox[0], fromSrc="-", repo="busybox", tag="latest")
        return self

    @property
    def instance(self) -> InstanceId:
        """Return its instance, from the database, because the daemon may be down."""
        if self._instance is None:
            uri = f"{naming.database(self.data_root).as_uri()}?mode=ro"
            connection = sqlite3.connect(uri, uri=True)
            try:
                (found,) = connection.execute(
                    "SELECT json_extract(data, '$.instance') FROM events WHERE type = 'host_initialised'"
                ).fetchone()
            finally:
                connection.close()
            self._instance = InstanceId(found)
        return self._instance

    @property
    def tag(self) -> str:
        return naming.tag(self.instance)

    @property
    def bridge(self) -> str:
        return f"shipslog{self.tag}"

    @property
    def roots(self) -> Roots:
        return Roots(self.instance, self.data_root, self.exec_root)

    def inventory(self) -> KernelInventory:
        """Return everything it owns in the kernel."""
        return read_inventory(self.roots)

    def monitor_pid(self, container: str) -> int:
        """Return the process that holds the lock of a container's bundle."""
        (pid,) = set(self.inventory().monitors[container])
        return pid

    def launcher_pid(self) -> int:
        """Return the daemon's child that has the launcher's name; wait until it has it."""
        return eventually(self._launcher_pid, "there is a launcher", catch=ValueError)

    def _launcher_pid(self) -> int:
        children = Path(f"/proc/{self.pid}/task").glob("*/children")
        pids = [int(pid) for each in children for pid in each.read_text().split()]
        (found,) = [
            pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() == "sl-launcher"
        ]
        return found

    def cgroup(self, container: str) -> list[Path]:
        """Return a container's cgroup in every hierarchy that has one."""
        places = kernel_inventory.hierarchies().values()
        found = (place / f"shipslog-{self.tag}" / container for place in places)
        return [each for each in found if each.is_dir()]

    def assert_settled(self, *, within_s: float = 10.0) -> None:
        """Wait until log and kernel agree, as long as background work may take."""
        settled(lambda: kernel_inventory.problems(self.roots, self.api), within_s=within_s)

    def assert_nothing_leaked(self) -> None:
        """Send SIGTERM, after which not even prepared namespaces may be left; then check that
        nothing is left. It stays down.
        """
        self.assert_settled()
        containers = [self.api.inspect(each["Id"]) for each in self.api.ps()]
        bridges = kernel_inventory.bridges_of(self.api)
        assert self.terminate() == 0

        def found() -> list[str]:
            return kernel_inventory.compare(
                self.roots, self.inventory(), containers, bridges, prepared_max=0
            )

        settled(found)

    def states(self) -> dict[str, Json]:
        """Return ``inspect`` of every container, by ID."""
        return {each["Id"]: self.api.inspect(each["Id"]) for each in self.api.ps()}

    # --- The end ---

    def clean_up(self) -> None:
        """End everything that the instance made, as a reboot would. Its files are removed with the
        temporary directory.
        """
        self.kill()
        if not naming.database(self.data_root).exists():
            return
        with suppress(sqlite3.Error):
            self.power_off()

    def power_off(self) -> None:
        """End what a reboot ends: all processes, cgroups, links, rules and mounts; files stay."""
        self.kill()
        for _ in range(3):  # a monitor may have forked meanwhile
            found = self.inventory()
            self._kill_processes(found)
        for name, place in kernel_inventory.hierarchies().items():
            self._remove_cgroups(place / f"shipslog-{self.tag}", name)
        for pin in found.pins:
            subprocess.run(["umount", "-l", self.exec_root / "netns" / pin], check=True)
        for link in (*found.veths, *found.bridges):
            subprocess.run(["ip", "link", "delete", link], check=False, capture_output=True)
        table = ["nft", "delete", "table", "inet", naming.firewall_table(self.instance)]
        subprocess.run(table, check=False, capture_output=True)

    def _kill_processes(self, found: KernelInventory) -> None:
        pids = [
            pid
            for held in (found.monitors, found.processes)
            for each in held.values()
            for pid in each
        ]
        pids += found.resolvers
        for pid in pids:
            for cgroup in self._freezers():
                cgroup.write_text("THAWED")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        for pid in pids:
            wait_until_gone(pid)

    def _freezers(self) -> list[Path]:
        freezer = kernel_inventory.hierarchies().get("freezer")
        return list(freezer.glob(f"shipslog-{self.tag}/*/freezer.state")) if freezer else []

    def _remove_cgroups(self, parent: Path, hierarchy: str) -> None:
        if not parent.is_dir():
            return
        for directory, _, _ in os.walk(parent, topdown=False):

            def gone(path: str = directory) -> bool:
                Path(path).rmdir()
                return True

            eventually(gone, f"{hierarchy}: {directory} can be removed", catch=OSError)
