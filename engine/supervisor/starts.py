"""Choose what a start needs on the head view: network namespace, addresses, host ports."""

import secrets
from dataclasses import dataclass, field

from engine.domain.container.attachment import Endpoint, leader
from engine.domain.container.decisions import decide_start
from engine.domain.container.endpoints import choose_endpoints
from engine.domain.container.host_ports import HostPorts
from engine.domain.container.links import check_links
from engine.domain.container.namespace_sharing import (
    HOST,
    check_joinable,
    is_with_container,
    joined_namespaces,
)
from engine.domain.container.spec import PortBinding
from engine.domain.container.state import Container
from engine.domain.event import Event
from engine.domain.ids import SandboxId
from engine.ports.kernel import NetworkKernel
from engine.store.projections import View


@dataclass(slots=True)
class Starts:
    """Decides starts."""

    kernel: NetworkKernel
    host_ports: HostPorts = field(init=False)

    def __post_init__(self) -> None:
        self.host_ports = HostPorts(self.kernel.check_host_port)

    def decide(self, head: View, container: Container) -> tuple[Event, ...]:
        """Return the events of a start, with everything that the start will need.

        Raises:
            AlreadyRunning, InvalidTransition: see ``decide_start``.
            AddressesExhausted, InvalidRequest, NotFound: see ``choose_endpoints``.
            BrokenLink: a linked container is not there.
            Conflict: a port is taken, or the owner of a namespace that it joins does not run.
        """
        decide_start(
            container, sandbox=None, endpoints=(), ports=()
        )  # refuse before choosing anything
        for kind, owner in joined_namespaces(container.spec):
            check_joinable(kind, owner, head.containers.get(owner))
        check_links(container, head.containers.get)
        mode = container.spec.network_mode
        if mode == HOST or is_with_container(mode):
            return decide_start(container, sandbox=None, endpoints=(), ports=())
        endpoints = choose_endpoints(head, container)
        ports = self._ports(head, container, endpoints)
        sandbox = self._prepared(container, endpoints) or SandboxId(secrets.token_hex(8))
        return decide_start(container, sandbox=sandbox, endpoints=endpoints, ports=ports)

    def _ports(
        self, head: View, container: Container, endpoints: tuple[Endpoint, ...]
    ) -> tuple[PortBinding, ...]:
        """Choose the host ports; empty unless a bridge network provides the default gateway,
        because no client could reach them.
        """
        leading = leader(endpoints) or leader(endpoints, ipv6=True)
        network = head.networks[leading.network] if leading else None
        if network is None or not network.is_bridged:
            return ()
        return self.host_ports.choose(head, container, network.host_binding)

    def _prepared(self, container: Container, endpoints: tuple[Endpoint, ...]) -> SandboxId | None:
        """Take a prepared namespace that fits, if there is one."""
        if len(endpoints) != 1 or not _is_plain(container):
            return None
        return self.kernel.take_sandbox(endpoints[0])


def _is_plain(container: Container) -> bool:
    """True if the container has no network option that a prepared namespace would lack: MAC, driver
    options, links, DNS.
    """
    (membership,) = container.networks
    return not (
        membership.mac or membership.driver_options or membership.links or container.spec.dns
    )
