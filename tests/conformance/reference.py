"""Start Docker's own engine, with which ours is compared, in namespaces of its own.

SHIPSLOG_REFERENCE=unix:///PATH names one that runs already. Otherwise it is Debian's or Ubuntu's,
installed or unpacked into .cache by config/run. Its firewall is off where it is only compared: no
packet leaves the machine.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.harness import kernel_inventory
from tests.harness.client import Api
from tests.harness.conditions import eventually
from tests.harness.daemon import REPOSITORY
from tests.timeouts import patient

VARIABLE: Final = "SHIPSLOG_REFERENCE"
READY_S: Final = 30.0
STOP_S: Final = 20.0
_UNPACKED: Final = REPOSITORY / ".cache" / "reference"
_LIBRARIES: Final = tuple(
    f"{usr}lib/{machine}-linux-gnu" for usr in ("", "usr/") for machine in ("x86_64", "aarch64")
)


class NoReference(Exception):
    """There is no reference on this machine, or it does not start here; the message says why."""


@contextmanager
def reference_engine(place: Path, *, beside: bool = False) -> Iterator[Api]:
    """Run a Docker engine that answers, without containers.

    Args:
        place: a directory for it.
        beside: whether it has its rules and bridges in the test's own network, as on a host that
            has both engines.

    Raises:
        NoReference: see there.
    """
    running = os.environ.get(VARIABLE, "")
    if running and not beside:
        yield Api(Path(running.removeprefix("unix://")))
        return
    api = Api(place / "docker.sock")
    with (
        (place / "log").open("ab") as log,
        subprocess.Popen(
            _command(place, beside=beside),
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            _wait_until_ready(api, process, place / "log")
            yield api
        finally:
            process.terminate()
            process.wait(patient(STOP_S))
            _remove_cgroups(_cgroup_parent(place))


def _command(place: Path, *, beside: bool) -> list[str]:
    dockerd = shutil.which("dockerd", path=_environment()["PATH"])
    if dockerd is None:
        raise NoReference("dockerd is not there: config/run setup unpacks it")
    options = [
        *("-H", f"unix://{place}/docker.sock", "-p", f"{place}/pid"),
        *("--data-root", f"{place}/data", "--exec-root", f"{place}/exec"),
        *("--cgroup-parent", _cgroup_parent(place)),
    ]
    if beside:
        return [dockerd, *options]
    options += ("--iptables=false", "--ip-masq=false")
    alone = 'ip link set lo up && exec "$@"'
    return ["unshare", "--net", "--mount", "sh", "-c", alone, "sh", dockerd, *options]


def _environment() -> dict[str, str]:
    path = os.environ.get("PATH", "")
    libraries = ":".join(str(_UNPACKED / name) for name in _LIBRARIES)
    return {
        "PATH": f"{_UNPACKED}/usr/sbin:{_UNPACKED}/usr/bin:{path}:/usr/sbin:/sbin",
        "LD_LIBRARY_PATH": libraries if _UNPACKED.exists() else "",
    }


def _wait_until_ready(api: Api, process: subprocess.Popen[bytes], log: Path) -> None:
    def ready() -> bool:
        if process.poll() is not None:
            raise NoReference(f"dockerd does not start here: {log.read_text()[-1000:]}")
        return api.request("GET", "/_ping").status == 200

    eventually(ready, "the reference engine answers", within_s=READY_S, catch=OSError)


def _cgroup_parent(place: Path) -> str:
    return f"/{place.name}-reference"


def _remove_cgroups(parent: str) -> None:
    for hierarchy in kernel_inventory.hierarchies().values():
        with suppress(OSError):  # not every hierarchy has one
            (hierarchy / parent.removeprefix("/")).rmdir()
