"""``shipslog network``: networks from the command line."""

import pytest

from tests.api.clients import Client

pytestmark = pytest.mark.root


def test_a_network_is_made_joined_left_and_removed(shipslog: Client) -> None:
    made = shipslog.ok("network", "create", "--subnet", "10.200.7.0/24", "deck")
    shipslog.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    shipslog.ok("network", "connect", "--ip", "10.200.7.9", "--alias", "w", "deck", "web")

    assert len(made) == 64
    listed = shipslog.ok("network", "ls", "--format", "{{.Name}} {{.Driver}}").splitlines()
    assert listed == ["bridge bridge", "deck bridge", "host host", "none null"]
    assert "10.200.7.9/24" in shipslog.ok("network", "inspect", "deck")
    refused = shipslog("network", "rm", "deck")
    assert (refused.code, "has active endpoints" in refused.err) == (1, True)

    shipslog.ok("network", "disconnect", "deck", "web")
    assert shipslog.ok("network", "rm", "deck") == "deck"
    assert made[:12] not in shipslog.ok("network", "ls", "-q")


def test_a_link_is_asked_for_on_the_command_line(shipslog: Client) -> None:
    shipslog.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")

    assert "W_NAME=/guest/w" in shipslog.ok(
        "run", "--rm", "--name", "guest", "--link", "web:w", "busybox", "env"
    )
