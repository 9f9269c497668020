"""Convert requests about networks to the domain's values."""

import msgspec

from engine.api.containers.spec.body import EndpointWire
from engine.api.http.json_bodies import Wire
from engine.domain.network.decisions import NetworkRequest, PoolRequest
from engine.domain.network.macvlan import STACKED_DRIVERS
from engine.domain.network.state import BRIDGE_DRIVER
from engine.errors import Forbidden, NotFound, Unsupported


class IpamConfigWire(Wire, frozen=True, kw_only=True):
    """Docker's IPAMConfig."""

    subnet: str | None = None
    ip_range: str | None = msgspec.field(default=None, name="IPRange")
    gateway: str | None = None
    auxiliary_addresses: dict[str, str] | None = None


class IpamWire(Wire, frozen=True, kw_only=True):
    """Docker's IPAM."""

    driver: str | None = None
    config: list[IpamConfigWire] | None = None
    options: dict[str, str] | None = None


class NetworkCreateWire(Wire, frozen=True, kw_only=True):
    """NetworkCreateRequest."""

    name: str | None = None
    check_duplicate: bool | None = None
    driver: str | None = None
    scope: str | None = None
    internal: bool | None = None
    attachable: bool | None = None
    ingress: bool | None = None
    config_only: bool | None = None
    config_from: dict[str, str] | None = None
    ipam: IpamWire | None = msgspec.field(default=None, name="IPAM")
    enable_ipv4: bool | None = msgspec.field(default=None, name="EnableIPv4")
    enable_ipv6: bool | None = msgspec.field(default=None, name="EnableIPv6")
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class ConnectWire(Wire, frozen=True, kw_only=True):
    """NetworkConnectRequest."""

    container: str | None = None
    endpoint_config: EndpointWire | None = None


class DisconnectWire(Wire, frozen=True, kw_only=True):
    """NetworkDisconnectRequest."""

    container: str | None = None
    force: bool | None = None


def parse_network(asked: NetworkCreateWire) -> NetworkRequest:
    """Return the network that is requested.

    Raises:
        Forbidden, NotFound: in Docker's words.
        Unsupported: a kind of network that this engine does not have.
    """
    _check_driver(asked.driver or BRIDGE_DRIVER)
    if asked.config_only or (asked.config_from or {}).get("Network"):
        raise Unsupported("configuration-only networks are not supported")
    if asked.ingress or (asked.scope or "local") != "local":
        raise Unsupported("This node is not a swarm manager.")
    ipam = asked.ipam or IpamWire()
    if (ipam.driver or "default") != "default":
        raise NotFound(f'plugin "{ipam.driver}" not found')
    return NetworkRequest(
        name=asked.name or "",
        driver=asked.driver or BRIDGE_DRIVER,
        enable_ipv4=asked.enable_ipv4 is not False,
        enable_ipv6=bool(asked.enable_ipv6),
        pools=tuple(map(_pool, ipam.config or ())),
        internal=bool(asked.internal),
        attachable=bool(asked.attachable),
        labels=asked.labels or {},
        options=asked.options or {},
    )


def _check_driver(driver: str) -> None:
    if driver in ("host", "null"):
        raise Forbidden(f'only one instance of "{driver}" network is allowed')
    if driver not in (BRIDGE_DRIVER, *STACKED_DRIVERS):
        raise NotFound(f'plugin "{driver}" not found')


def _pool(config: IpamConfigWire) -> PoolRequest:
    return PoolRequest(
        subnet=config.subnet or "",
        gateway=config.gateway or "",
        ip_range=config.ip_range or "",
        auxiliary=config.auxiliary_addresses or {},
    )
