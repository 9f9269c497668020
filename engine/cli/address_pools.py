"""Parse the subnets of a network: each range, gateway and auxiliary address belongs to the subnet
that contains it.
"""

from ipaddress import ip_address, ip_network
from typing import Any

from engine.cli.failures import Failure
from engine.cli.flags import Flag, Options, texts

POOL_FLAGS: tuple[Flag, ...] = (
    texts("aux-address", "", "Auxiliary IPv4 or IPv6 addresses used by Network driver"),
    texts("gateway", "", "IPv4 or IPv6 Gateway for the master subnet"),
    texts("ip-range", "", "Allocate container ip from a sub-range"),
    texts("subnet", "", "Subnet in CIDR format that represents a network segment"),
)


def address_pools(options: Options) -> list[dict[str, Any]]:
    """Return ``IPAM.Config``.

    Raises:
        Failure: an address lies in no subnet, or two of a kind in one; with the ``docker``
            command's message.
    """
    pools: list[dict[str, Any]] = [{"Subnet": each} for each in options.many("subnet")]
    for part in options.many("ip-range"):
        _assign(pools, "IPRange", part, "range")
    for gateway in options.many("gateway"):
        _assign(pools, "Gateway", gateway, "gateway")
    for text in options.many("aux-address"):
        name, _, address = text.partition("=")
        pool = _around(pools, address)
        if pool is None:
            raise Failure(f"no matching subnet for aux-address {address}")
        pool.setdefault("AuxiliaryAddresses", {})[name] = address
    return pools


def _assign(pools: list[dict[str, Any]], field: str, value: str, what: str) -> None:
    pool = _around(pools, value)
    if pool is None:
        raise Failure(f"no matching subnet for {what} {value}")
    if field in pool:
        raise Failure(f"cannot configure multiple {what}s on the same subnet ({pool['Subnet']})")
    pool[field] = value


def _around(pools: list[dict[str, Any]], inside: str) -> dict[str, Any] | None:
    """Return the pool of the subnet that contains an address, or the start of a range."""
    for pool in pools:
        try:
            if ip_address(inside.partition("/")[0]) in ip_network(pool["Subnet"], strict=False):
                return pool
        except ValueError:  # the engine will report it
            continue
    return None
