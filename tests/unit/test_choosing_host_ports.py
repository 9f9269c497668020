"""Test ports of the host: as requested, out of a range, or any; never one that is taken."""

import pytest

from engine.domain.container.host_ports import EPHEMERAL_PORTS, HostPorts, requested_ports
from engine.domain.container.spec import PortBinding, Spec
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, ImageId
from engine.errors import Conflict

FIRST = EPHEMERAL_PORTS.start


class Holders:
    """Ports that other containers have."""

    def __init__(self, *ports: int) -> None:
        self._ports = ports

    def port_holder(self, binding: PortBinding) -> ContainerId | None:
        return ContainerId("o" * 64) if binding.host_port in self._ports else None


def published(*ports: PortBinding, **fields: object) -> Container:
    spec = Spec(image="busybox", image_id=ImageId("sha256:1"), ports=ports, **fields)  # type: ignore[arg-type]  # by name
    return Container(id=ContainerId("c" * 64), name="web", spec=spec, created_ns=1)


def binding(host_port: int = 0, last: int = 0, container_port: int = 80) -> PortBinding:
    return PortBinding(
        container_port=container_port, protocol="tcp", host_port=host_port, host_port_last=last
    )


def of_the_host(*ports: int) -> HostPorts:
    """Choose among ports of which processes of the host have some."""

    def check_free(port: PortBinding) -> None:
        if port.host_port in ports:
            raise Conflict(f"in use: {port.host_port}")

    return HostPorts(check_free)


def chosen(ports: HostPorts, holders: Holders, *wanted: PortBinding) -> list[int]:
    return [each.host_port for each in ports.choose(holders, published(*wanted), "127.0.0.1")]


def test_a_port_is_given_as_asked_for_at_the_networks_address() -> None:
    (port,) = of_the_host().choose(Holders(), published(binding(8080)), "127.0.0.1")

    assert (port.host_port, port.host_ip) == (8080, "127.0.0.1")


def test_a_port_in_use_is_refused() -> None:
    with pytest.raises(
        Conflict, match=r"Bind for 127\.0\.0\.1:8080 failed: port is already allocated"
    ):
        chosen(of_the_host(), Holders(8080), binding(8080))
    with pytest.raises(Conflict, match="in use: 8080"):
        chosen(of_the_host(8080), Holders(), binding(8080))


def test_of_a_range_each_gets_the_lowest_that_is_free() -> None:
    twice = (binding(8080, 8083), binding(8080, 8083, container_port=81))

    assert chosen(of_the_host(8081), Holders(8080), *twice) == [8082, 8083]
    with pytest.raises(Conflict, match="in use: 8081"):
        chosen(of_the_host(8081), Holders(8080), binding(8080, 8081))


def test_any_port_goes_on_behind_the_last_one_and_begins_anew_at_the_end() -> None:
    ports = of_the_host(FIRST + 1)

    assert chosen(ports, Holders(FIRST), binding()) == [FIRST + 2]
    assert chosen(ports, Holders(FIRST), binding()) == [FIRST + 3]
    last = EPHEMERAL_PORTS[-1]
    assert chosen(ports, Holders(*range(FIRST, last)), binding()) == [last]
    assert chosen(ports, Holders(), binding()) == [FIRST]


def test_when_every_port_is_taken_there_is_none_left() -> None:
    with pytest.raises(Conflict, match="all ports are allocated"):
        chosen(of_the_host(), Holders(*EPHEMERAL_PORTS), binding())


def test_publishing_all_adds_exposed_ports_that_are_not_published_yet() -> None:
    container = published(binding(8080), publish_all=True, exposed_ports=("80/tcp", "53/udp", "90"))

    wanted = [(each.container_port, each.protocol) for each in requested_ports(container)]
    assert wanted == [(80, "tcp"), (53, "udp"), (90, "tcp")]
