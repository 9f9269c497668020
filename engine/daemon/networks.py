"""The three networks that there always are, and the subnet of the default bridge."""

import secrets
from ipaddress import IPv4Interface, IPv4Network

from engine.daemon.config import Config, ConfigError
from engine.domain import naming
from engine.domain.event import SUPERVISOR, Event, Origin
from engine.domain.ids import InstanceId, NetworkId
from engine.domain.network import Network, NetworkCreated, NetworkMoved, free_subnet
from engine.domain.streams import network_stream
from engine.drivers.networks.network import NetworkDriver
from engine.store.ledger import Ledger
from engine.supervisor.starts import DEFAULT_NETWORK

DEFAULT_BRIDGE_PREFIX = "shipslog"


def bridge_name(instance: InstanceId) -> str:
    """Our own default bridge: 13 bytes, so it fits into IFNAMSIZ."""
    return f"{DEFAULT_BRIDGE_PREFIX}{naming.tag(instance)}"


async def ensure_networks(ledger: Ledger, driver: NetworkDriver, config: Config) -> None:
    """Have the default networks in the log, as they are configured now.

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
        bridge, address = _wanted(ledger.durable.host.instance, driver, config)
        event = _created(DEFAULT_NETWORK, "bridge", bridge, address, owned=not config.bridge)
        await _record(ledger, origin, event)
    elif _differs(present, config):
        if ledger.durable.addresses:
            raise ConfigError(
                "the default bridge can't be changed while containers have addresses of it"
            )
        bridge, address = _wanted(ledger.durable.host.instance, driver, config)
        moved = NetworkMoved(
            bridge=bridge,
            subnet=str(address.network),
            gateway=str(address.ip),
            bridge_owned=not config.bridge,
        )
        await ledger.record(origin, (network_stream(present.id), (moved,)))
        if present.bridge_owned and present.bridge != bridge:
            driver.remove_bridge(present.bridge)


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
        subnet=str(address.network) if address else "",
        gateway=str(address.ip) if address else "",
        bridge_owned=owned,
    )


async def _record(ledger: Ledger, origin: Origin, event: NetworkCreated) -> None:
    events: tuple[Event, ...] = (event,)
    await ledger.record(origin, (network_stream(event.id), events))


def _differs(network: Network, config: Config) -> bool:
    if config.bridge:
        return network.bridge != config.bridge
    if config.bip is not None:
        return (network.gateway, network.subnet) != (str(config.bip.ip), str(config.bip.network))
    return not network.bridge_owned


def _wanted(
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
    return bridge, first_address(free_subnet(driver.taken_subnets(apart_from=(bridge,))))


def first_address(subnet: IPv4Network) -> IPv4Interface:
    """The gateway of a subnet that nobody has chosen one for: its first address."""
    return IPv4Interface((int(subnet.network_address) + 1, subnet.prefixlen))
