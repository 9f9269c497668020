"""Choose the parents of networks without a bridge, whose containers have links on a link of the
host (macvlan, ipvlan).

To the neighbours each container looks like one more machine at the host's cable; the host itself
can't speak to it. Modes are those of linux/if_link.h; see ip-link(8), "MACVLAN and MACVTAP Type
Support" and "IPVLAN Type Support".
"""

from collections.abc import Collection, Mapping
from typing import Final

from engine.domain.ids import SHORT, NetworkId
from engine.domain.network.state import Network
from engine.errors import Forbidden, InvalidRequest

PARENT_OPTION: Final = "parent"
IPVLAN: Final = "ipvlan"
STACKED_DRIVERS: Final = ("macvlan", IPVLAN)
MODES: Final[Mapping[str, Mapping[str, int]]] = {
    "macvlan": {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8},
    IPVLAN: {"l2": 0, "l3": 1, "l3s": 2},
}
_DEFAULT_MODE: Final = {"macvlan": "bridge", IPVLAN: "l2"}
_DUMMY_PREFIX: Final = "dm-"


def mode_name(driver: str, options: Mapping[str, str]) -> str:
    """Return how the links of a network exchange packets."""
    return options.get(f"{driver}_mode") or _DEFAULT_MODE[driver]


def has_routed_links(network: Network) -> bool:
    """Return whether a network's links use no gateway: ipvlan's modes of layer 3, where the host
    routes.
    """
    return network.driver == IPVLAN and mode_name(IPVLAN, network.options) != "l2"


def is_dummy(link: str) -> bool:
    """Return whether a parent is a dummy link that was made for its network alone."""
    return link.startswith(_DUMMY_PREFIX)


def vlan_of(link: str) -> tuple[str, int] | None:
    """Return link and number of the VLAN that a name such as ``eth0.10`` stands for; None for
    another name.
    """
    base, dot, number = link.rpartition(".")
    if not (dot and base and number.isdecimal() and 0 < int(number) < 4095):
        return None
    return base, int(number)


def decide_parent(
    driver: str,
    options: Mapping[str, str],
    identity: NetworkId,
    networks: Collection[Network],
) -> str:
    """Return the host's link that a new network's containers use; if none is requested, a dummy
    link.

    Raises:
        InvalidRequest: it can't be one, or the mode is unknown.
        Forbidden: another network of the kind has it.
    """
    mode = mode_name(driver, options)
    if mode not in MODES[driver]:
        default = _DEFAULT_MODE[driver]
        raise InvalidRequest(
            f"requested {driver} mode '{mode}' is not valid,"
            f" '{default}' mode is the {driver} driver default"
        )
    parent = options.get(PARENT_OPTION) or f"{_DUMMY_PREFIX}{identity[:SHORT]}"
    if parent == "lo":
        raise InvalidRequest(f"loopback interface is not a valid {driver} parent link")
    for other in networks:
        if other.bridge == parent and not other.is_gone:
            raise Forbidden(f"network {other.name} is already using parent interface {parent}")
    return parent
