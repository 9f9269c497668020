"""Write a container's files in ``/etc``, before each run and during it.

A container has the files themselves mounted, not their names: while it runs they are changed in
place. If a name was deleted, the same file gets the name again, because the container would not see
a new file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from engine.domain.container.etc_files import (
    asks_resolver,
    hostname_text,
    hosts_of_host_text,
    hosts_text,
    own_names,
    resolv_conf_text,
    resolver_conf_text,
    updated_hosts_text,
)
from engine.domain.container.links import linked_hosts, linked_names
from engine.domain.container.namespace_sharing import HOST, namespace_owner
from engine.domain.container.spec import Spec
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, NetworkId
from engine.domain.network.state import Network
from engine.drivers.storage.rootfs import Rootfs, host_file, host_resolv_conf
from engine.ports.observation import Presence

HOSTS: Final = "hosts"
RESOLV_CONF: Final = "resolv.conf"


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcFiles:
    """``hosts``, ``hostname`` and ``resolv.conf`` of all containers. All methods block."""

    rootfs: Rootfs
    gateway: Callable[[], str]
    """Returns the address at which containers reach the host."""
    network_of: Callable[[NetworkId], Network]
    container_of: Callable[[ContainerId], Container | None]

    def write(self, container: Container) -> None:
        """Write the files for a run that is about to begin.

        Raises:
            Unavailable: the disk is full.
            DriverError: the kernel refuses for another reason.
        """
        self.rootfs.write_files(container.id, self._texts(container))

    def update(self, container: Container) -> None:
        """Update the files of a running container to its present networks and links. Lines that
        others wrote into them stay.

        Raises:
            Unavailable, DriverError: as above.
        """
        wanted = self._texts(container)
        self.rootfs.restore_files(container.id, wanted)
        hosts = self.rootfs.file_text(container.id, HOSTS)
        spec = container.spec
        own = (own_names(spec.hostname, spec.domainname), *linked_names(container))
        updated = {HOSTS: updated_hosts_text(hosts, wanted[HOSTS], own)}
        asked = self.rootfs.file_text(container.id, RESOLV_CONF)
        if asks_resolver(asked) != asks_resolver(wanted[RESOLV_CONF]):
            updated[RESOLV_CONF] = wanted[RESOLV_CONF]
        self.rootfs.overwrite_files(container.id, updated)

    def presence(self, container: Container) -> Presence:
        """Return whether a running container's files exist, and whether its ``hosts`` has the
        present addresses of linked containers.
        """
        if namespace_owner(container.spec.network_mode):  # it uses those of another container
            return Presence.RIGHT
        if not self.rootfs.has_files(container.id):
            return Presence.ABSENT
        linked = {
            f"{where}\t{names}" for where, names in linked_hosts(container, self.container_of)
        }
        if not linked:
            return Presence.RIGHT
        lines = self.rootfs.file_text(container.id, HOSTS).splitlines()
        return Presence.RIGHT if linked.issubset(lines) else Presence.DAMAGED

    def _texts(self, container: Container) -> dict[str, str]:
        spec = container.spec
        if spec.network_mode == HOST:
            return _texts_of_host(spec, self.gateway())
        endpoints = container.desired_endpoints
        addresses = [address for each in endpoints for address in each.addresses]
        has_names = any(self.network_of(each.network).has_names for each in endpoints)
        return {
            HOSTS: hosts_text(
                spec.extra_hosts,
                addresses,
                spec.hostname,
                spec.domainname,
                self.gateway(),
                linked_hosts(container, self.container_of),
            ),
            "hostname": hostname_text(spec.hostname),
            RESOLV_CONF: _resolv_conf(spec, has_names=has_names),
        }


def _texts_of_host(spec: Spec, gateway: str) -> dict[str, str]:
    names = (spec.dns, spec.dns_search, spec.dns_options)
    resolv_conf = host_file(RESOLV_CONF)
    return {
        HOSTS: hosts_of_host_text(host_file(HOSTS), spec.extra_hosts, gateway),
        "hostname": hostname_text(spec.hostname),
        RESOLV_CONF: resolv_conf_text(resolv_conf, *names) if any(names) else resolv_conf,
    }


def _resolv_conf(spec: Spec, *, has_names: bool) -> str:
    if has_names:
        return resolver_conf_text(host_resolv_conf(), spec.dns_search, spec.dns_options)
    return resolv_conf_text(host_resolv_conf(), spec.dns, spec.dns_search, spec.dns_options)
