"""Run containers' lives, from creation to removal.

With execs, attached clients, cgroup parents of their own, and images that come and go.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from tests.harness.client import Api
from tests.harness.kernel_inventory import hierarchies
from tests.harness.tars import tar_of

CALLERS: Final = 4
PARENT: Final = f"shipslog-lives-{os.getpid()}"
_EVERY_EXEC: Final = 2
_EVERY_PARENT: Final = 3
_EVERY_BRIDGE: Final = 4
_EVERY_IMAGE: Final = 20
_SAYS_AND_WAITS: Final = ("sh", "-c", "echo ready; exec sleep 1000")


@dataclass(frozen=True, slots=True)
class Lives:
    """Lives of containers in one engine, numbered; the features of each depend on its number
    alone.
    """

    api: Api

    def run(self, first: int, count: int) -> None:
        """Run this many lives, a few at a time; nothing of them is left in the engine."""
        with ThreadPoolExecutor(CALLERS) as callers:
            list(callers.map(self.live, range(first, first + count)))

    def live(self, number: int) -> None:
        """Run one life: created, started, attached to, killed, waited for, removed."""
        parent = f"/{PARENT}/job-{number}" if number % _EVERY_PARENT == 0 else ""
        network = "bridge" if number % _EVERY_BRIDGE == 0 else "none"
        settings = {"NetworkMode": network, "CgroupParent": parent}
        name = f"life-{number}"
        self.api.create(name, *_SAYS_AND_WAITS, HostConfig=settings)
        with self.api.attach(name, stdin=0) as client:
            self.api.start(name)
            client.read_until(b"ready")
            self._use(name, number)
            self.api.kill(name)
        self.api.wait(name)
        self.api.remove(name)
        if parent:
            _remove_parent(parent)

    def _use(self, name: str, number: int) -> None:
        if number % _EVERY_EXEC == 0:
            code, output = self.api.exec_output(name, "echo", str(number))
            assert (code, output) == (0, f"{number}\n".encode())
        if number % _EVERY_IMAGE == 0:
            self._make_images(name, number)

    def _make_images(self, container: str, number: int) -> None:
        """Commit a container to an image and import another one; use, tag and remove them."""
        made, brought = f"made:{number}", f"brought:{number}"
        self.api.post("/commit", {}, container=container, repo="made", tag=number)
        self.api.run(f"of-{number}", "true", image=made, HostConfig={"NetworkMode": "none"})
        self.api.wait(f"of-{number}")
        self.api.remove(f"of-{number}")
        self.api.post(
            "/images/create",
            tar_of({"number": f"{number}\n".encode()}),
            fromSrc="-",
            repo="brought",
            tag=number,
        )
        self.api.post(f"/images/{brought}/tag", repo="other", tag=number)
        for image in (made, brought, f"other:{number}"):
            self.api.call("DELETE", f"/images/{image}")


def _remove_parent(parent: str) -> None:
    """Remove a cgroup parent, as the user who named it would: the engine leaves it."""
    for place in hierarchies().values():
        with suppress(FileNotFoundError):
            (place / parent.strip("/")).rmdir()


def remove_parents() -> None:
    """Remove what all of them had in common."""
    for place in hierarchies().values():
        with suppress(FileNotFoundError):
            (place / PARENT).rmdir()
