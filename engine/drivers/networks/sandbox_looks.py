"""Find damaged sandboxes without entering those in which nothing has changed.

A sandbox is inspected inside when it is new, when its namespace gave notice of a change, while
something is wrong with it, and every two minutes in any case. Its side on the host is compared when
the host's links have changed. A pin that was unmounted or replaced gives no notice, so it is
checked each time.
"""

import errno
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from engine.domain.ids import SandboxId
from engine.drivers.networks import bridge as bridges
from engine.drivers.networks import netns
from engine.drivers.networks import sandbox as sandboxes
from engine.drivers.networks.hints import SandboxHints
from engine.drivers.networks.rtnetlink import Link
from engine.drivers.networks.sandbox import Sandbox, Site

INSIDE_MAX: Final = 128
"""How many sandboxes are inspected inside at once, 0.15 ms each; the rest is left for the next
time.
"""
LOOK_AGAIN_S: Final = 120.0
_NO_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE)
_IPV6: Final = Path("/proc/net/if_inet6")

Finder = Callable[[str], Link | None]
"""Finds a link of the host's by its name."""


@dataclass(frozen=True, slots=True)
class _Look:
    """The result of the last look at a sandbox."""

    sandbox: Sandbox
    path: Path
    """The path of its pin."""
    pin: tuple[int, int] | None
    faults: tuple[str, ...]
    inside_s: float | None = None
    """When it was inspected inside; None if that is still to be done."""
    right: int | None = None
    """The fingerprint of its inside when nothing was wrong with it."""


class SandboxLooks:
    """Inspects sandboxes, and remembers the results. Belongs to one thread."""

    def __init__(
        self,
        site: Callable[[Sandbox, bool, bool], Site],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._site = site
        self._clock = clock
        self._hints = SandboxHints()
        self._looks: dict[SandboxId, _Look] = {}
        self._compared: int | None = None
        """The listing that every sandbox's side on the host was last compared with."""
        self._is_behind = True
        """Whether a sandbox has changed that has not been looked into since."""

    def damaged(
        self, wanted: Collection[Sandbox], links: Mapping[str, Link], listing: int
    ) -> frozenset[SandboxId]:
        """Return the damaged sandboxes.

        Args:
            wanted: all sandboxes that should exist.
            links: the host's links, by their names.
            listing: equal numbers mean that the links are the same.
        """
        self._forget_all_but({sandbox.id for sandbox in wanted})
        self._take_hints()
        inside = [each for each in wanted if self._is_due(each)]
        inside.sort(key=self._last_inside_s)
        chosen = {each.id for each in inside[:INSIDE_MAX]}
        due = {each.id for each in inside}
        outside = [each for each in wanted if listing != self._compared or each.id in due]
        if outside:
            self._look(links.get, outside, chosen)
        self._compared = listing
        self._is_behind = len(self._looks) < len(wanted) or any(
            look.inside_s is None for look in self._looks.values()
        )
        return frozenset(each for each, look in self._looks.items() if look.faults)

    def has_changes(self) -> bool:
        """Return True if a sandbox has changed that has not been looked into since."""
        self._take_hints()
        return self._is_behind

    def forget(self, sandbox: SandboxId) -> None:
        """Forget a sandbox, so that its namespace can end."""
        self._looks.pop(sandbox, None)
        self._hints.forget(sandbox)

    def close(self) -> None:
        """Forget all sandboxes."""
        self._hints.close()
        self._looks.clear()

    def _forget_all_but(self, wanted: Collection[SandboxId]) -> None:
        for sandbox in [each for each in self._looks if each not in wanted]:
            self.forget(sandbox)

    def _take_hints(self) -> None:
        for sandbox in self._hints.changed():
            if look := self._looks.get(sandbox):
                self._looks[sandbox] = replace(look, inside_s=None)
                self._is_behind = True

    def _is_due(self, sandbox: Sandbox) -> bool:
        look = self._looks.get(sandbox.id)
        return (
            look is None
            or bool(look.faults)
            or look.inside_s is None
            or look.sandbox != sandbox
            or look.pin != netns.identity(look.path)
            or self._clock() - look.inside_s > LOOK_AGAIN_S
        )

    def _last_inside_s(self, sandbox: Sandbox) -> float:
        look = self._looks.get(sandbox.id)
        return 0.0 if look is None or look.inside_s is None else look.inside_s

    def _look(self, find: Finder, wanted: Collection[Sandbox], into: Collection[SandboxId]) -> None:
        hairpin, ipv6 = bridges.netfilter_sees_bridged(), _IPV6.exists()

        def look() -> None:
            for sandbox in wanted:
                site = self._site(sandbox, hairpin, ipv6)
                try:
                    self._look_at(find, sandbox, site, enters=sandbox.id in into)
                except OSError as error:  # its own worker repairs it, or reports why it can't
                    if error.errno in _NO_DESCRIPTORS:  # that is no fault of the sandbox
                        self._looks.pop(sandbox.id, None)
                        continue
                    fault = f"sandbox {sandbox.id}: {error.strerror or error}"
                    self._looks[sandbox.id] = _Look(sandbox, site.pin, None, (fault,))

        if any(sandbox.id in into and sandbox.endpoints for sandbox in wanted):
            netns.on_own_thread(look)
        else:
            look()

    def _look_at(self, find: Finder, sandbox: Sandbox, site: Site, *, enters: bool) -> None:
        pin = netns.identity(site.pin)
        before = self._looks.get(sandbox.id)
        if before is None or before.pin != pin:
            self._hints.forget(sandbox.id)
            before = None
        faults = tuple(sandboxes.outer_faults(find, sandbox, site))
        look = _Look(sandbox, site.pin, pin, faults)
        if before is not None and before.sandbox == sandbox:
            look = replace(before, faults=faults or (before.faults if not enters else ()))
        if enters and not faults:
            look = self._look_inside(find, look, site)
        self._looks[sandbox.id] = look

    def _look_inside(self, find: Finder, look: _Look, site: Site) -> _Look:
        """Inspect the inside of a sandbox, and listen for changes of it from now on."""
        sandbox = look.sandbox
        if not sandbox.endpoints:
            return replace(look, inside_s=self._clock())
        netns.enter(site.pin)
        if sandbox.id not in self._hints:
            self._hints.watch(sandbox.id, tables=sandbox.resolver)
        inside = sandboxes.look_inside(sandbox)
        looked = replace(look, inside_s=self._clock(), faults=())
        if looked.right == inside.fingerprint:
            return looked
        if faults := sandboxes.inner_faults(find, sandbox, site, inside):
            return replace(looked, faults=tuple(faults))
        return replace(looked, right=inside.fingerprint)
