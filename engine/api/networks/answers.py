"""Define the answers about networks: fields and types."""

from typing import Annotated, NotRequired, TypedDict

from engine.api.answers import Stamp, since


class AddressPool(TypedDict):
    """A subnet of a network."""

    Subnet: str
    IPRange: NotRequired[str]
    Gateway: str
    AuxiliaryAddresses: NotRequired[dict[str, str]]


class Ipam(TypedDict):
    """The addresses of a network."""

    Driver: str
    Options: dict[str, str] | None
    Config: list[AddressPool]


class ConfigFrom(TypedDict):
    """The network whose configuration it has; here always none."""

    Network: str


class NetworkMember(TypedDict):
    """A running container in a network."""

    Name: str
    EndpointID: str
    MacAddress: str
    IPv4Address: str
    IPv6Address: str


class Network(TypedDict):
    """A network, and the running containers in it by ID."""

    Name: str
    Id: str
    Created: Stamp
    Scope: str
    Driver: str
    EnableIPv4: NotRequired[Annotated[bool, since("1.48")]]
    EnableIPv6: bool
    IPAM: Ipam
    Internal: bool
    Attachable: bool
    Ingress: bool
    ConfigFrom: ConfigFrom
    ConfigOnly: bool
    Containers: dict[str, NetworkMember]
    Options: dict[str, str]
    Labels: dict[str, str]


class NetworkCreated(TypedDict):
    """The new network."""

    Id: str
    Warning: str


class NetworksPruned(TypedDict):
    """The names of the networks that a prune has removed."""

    NetworksDeleted: list[str] | None
