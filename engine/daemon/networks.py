"""Create the networks ``bridge``, ``host`` and ``none``, and choose the default subnet."""

import secrets
from ipaddress import IPv4Interface

from engine.daemon.config import Config, ConfigError
from engine.domain import naming
from engine.domain.container.spec import DEFAULT_NETWORK
from engine.domain.event import SUPERVISOR, Event, Origin
from engine.domain.ids import InstanceId, NetworkId
from engine.domain.network.addresses import (
    IPV4_SOURCES,
    SubnetSource,
    first_address,
    free_subnet,
    local_source,
)
from engine.domain.network.state import (
    DEFAULT_BRIDGE_OPTION,
    Network,
    NetworkCreated,
    NetworkMoved,
    Pool,
)
from engine.domain.streams import network_stream
from engine.drivers.networks.sandbox_driver import NetworkDriver
from engine.store.ledger import Ledger

DEFAULT_BRIDGE_PREFIX = "shipslog"


def bridge_name(instance: InstanceId) -> str:
    """Return the name of our own default bridge: 13 bytes, so it fits into IFNAMSIZ."""
    return f"{DEFAULT_BRIDGE_PREFIX}{naming.tag(instance)}"


async def ensure_networks(ledger: Ledger, driver: NetworkDriver, config: Config) -> None:
    """Record the default networks as they are configured now.

    Raises:
        ConfigError: the bridge's address can't change while containers have addresses of it.
        SubnetTaken: no subnet is free.
    """
    origin = Origin(actor=SUPERVISOR)
    known = {network.name: network for network in ledger.durable.networks.values()}
    for name, kind in (("host", "host"), ("none", "null")):
        if name not in known:
            await _record(ledger, origin, _created(name, kind))
    present = known.get(DEFAULT_NETWORK)
    if present is None:
        bridge, address = _configured_bridge(ledger.durable.host.instance, driver, config)
        event = _created(DEFAULT_NETWORK, "bridge", bridge, address, owned=not config.bridge)
        await _record(ledger, origin, event)
    elif _differs(present, config):
        if ledger.durable.is_used(present.id):
            raise ConfigError(
                "the default bridge can't be changed while containers have addresses of it"
            )
        bridge, address = _configured_bridge(ledger.durable.host.instance, driver, config)
        moved = NetworkMoved(
            bridge=bridge,
            bridge_owned=not config.bridge,
            ipv4=_pool(address),
        )
        await ledger.record(origin, (network_stream(present.id), (moved,)))
        if present.bridge_owned and present.bridge != bridge:
            driver.remove_bridge(present.bridge)


def subnet_sources(instance: InstanceId, config: Config) -> tuple[SubnetSource, ...]:
    """Return where subnets are looked for: of each family the configured sources, else the default
    ones.
    """
    asked = config.default_address_pools
    versions = {each.base.version for each in asked}
    return (
        *asked,
        *(() if 4 in versions else IPV4_SOURCES),
        *(() if 6 in versions else (local_source(instance),)),
    )


def _created(
    name: str,
    kind: str,
    bridge: str = "",
    address: IPv4Interface | None = None,
    *,
    owned: bool = True,
) -> NetworkCreated:
    return NetworkCreated(
        id=NetworkId(secrets.token_hex(32)),
        name=name,
        driver=kind,
        bridge=bridge,
        bridge_owned=owned,
        ipv4=_pool(address) if address else None,
        options={DEFAULT_BRIDGE_OPTION: "true"} if bridge else {},
    )


def _pool(address: IPv4Interface) -> Pool:
    return Pool(subnet=str(address.network), gateway=str(address.ip))


async def _record(ledger: Ledger, origin: Origin, event: NetworkCreated) -> None:
    events: tuple[Event, ...] = (event,)
    await ledger.record(origin, (network_stream(event.id), events))


def _differs(network: Network, config: Config) -> bool:
    if config.bridge:
        return network.bridge != config.bridge
    if config.bip is not None:
        return network.ipv4 != _pool(config.bip)
    return not network.bridge_owned


def _configured_bridge(
    instance: InstanceId, driver: NetworkDriver, config: Config
) -> tuple[str, IPv4Interface]:
    if config.bridge:
        address = driver.address_of(config.bridge)
        if address is None:
            raise ConfigError(
                f"bridge {config.bridge}: there is no such link, or it has no IPv4 address"
            )
        return config.bridge, address
    bridge = bridge_name(instance)
    if config.bip is not None:
        return bridge, config.bip
    taken = driver.taken_subnets(apart_from=(bridge,))
    sources = [each for each in subnet_sources(instance, config) if each.base.version == 4]
    subnet = free_subnet(sources, taken)
    return bridge, IPv4Interface(f"{first_address(subnet)}/{subnet.prefixlen}")
