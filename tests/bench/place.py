"""Provide namespaces and a directory for the measured daemon, and remove them afterwards.

The process that measures moves into network and mount namespaces of its own, and all processes that
it starts inherit them: no link, firewall rule or mount is made in the machine's. The daemon's exec
root is a tmpfs, as ``/run`` would be.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.cli.builtin_image import import_builtin
from engine.cli.engine import Engine
from engine.runtime import linux
from tests.bench.daemon import Daemon
from tests.bench.subject import Subject


def leave_the_host() -> None:
    """Move this process into its own network (loopback alone) and mount namespace, which end with
    it.
    """
    linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWNS)
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@contextmanager
def our_engine(program: str = "engine.daemon") -> Iterator[Subject]:
    """Run a daemon with the built-in image.

    Nothing of it is left at the end. ``program`` is the module that is run.
    """
    with tempfile.TemporaryDirectory(prefix="shipslog-bench-") as directory:
        run = Path(directory) / "exec"
        run.mkdir()
        linux.mount("tmpfs", str(run), "tmpfs", linux.MS_NOSUID | linux.MS_NODEV)
        daemon = Daemon(Path(directory), program)
        try:
            daemon.start()
            import_builtin(Engine(daemon.host))
            yield Subject(daemon.host, (sys.executable, "-m", "engine.cli"), daemon)
        finally:
            daemon.clear()
            linux.umount2(str(run), linux.MNT_DETACH)
