"""Test links: how a container learns the address of another one, by the variables and lines that
Docker writes.
"""

from typing import Any

import pytest

from tests.api.clients import Client
from tests.harness.client import Api, Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

WAITING = ("sleep", "1000")


@pytest.fixture
def api(daemon: DaemonUnderTest) -> Api:
    return daemon.api


def refused(call: Any, *args: Any, **fields: Any) -> tuple[int, str]:
    with pytest.raises(Refused) as refusal:
        call(*args, **fields)
    return refusal.value.status, refusal.value.message


def address(api: Api, name: str) -> str:
    return str(api.inspect(name)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"])


def test_a_container_is_listed_by_all_its_names(docker: Client, api: Api) -> None:
    api.run("web", *WAITING)
    api.run("guest", *WAITING, HostConfig={"Links": ["web:w"]})

    names = {each["Names"][-1]: each["Names"] for each in api.ps()}
    assert names == {"/web": ["/guest/w", "/web"], "/guest": ["/guest"]}
    assert docker.ok("ps", "--format", "{{.Names}}").splitlines() == ["guest", "web"]
    api.remove("guest")
    assert [each["Names"] for each in api.ps()] == [["/web"]]


def test_a_linked_container_is_found_by_its_alias(docker: Client, api: Api) -> None:
    docker.ok(
        "run", "-d", "--name", "web", "--expose", "80", "-e", "COLOUR=red", "busybox", *WAITING
    )
    docker.ok("run", "-d", "--name", "guest", "--link", "web:my-web", "busybox", *WAITING)
    where, short = address(api, "web"), api.inspect("web")["Id"][:12]

    assert f"{where}\tmy-web {short} web" in docker.ok("exec", "guest", "cat", "/etc/hosts")
    environment = docker.ok("exec", "guest", "env").splitlines()
    assert [line for line in environment if line.startswith("MY_WEB")] == [
        f"MY_WEB_PORT=tcp://{where}:80",
        f"MY_WEB_PORT_80_TCP=tcp://{where}:80",
        f"MY_WEB_PORT_80_TCP_ADDR={where}",
        "MY_WEB_PORT_80_TCP_PORT=80",
        "MY_WEB_PORT_80_TCP_PROTO=tcp",
        "MY_WEB_NAME=/guest/my-web",
        "MY_WEB_ENV_COLOUR=red",
    ]
    assert api.inspect("guest")["HostConfig"]["Links"] == ["/web:/guest/my-web"]


def test_the_first_process_has_the_variables_and_its_own_count(docker: Client) -> None:
    docker.ok("run", "-d", "--name", "web", "-e", "COLOUR=red", "busybox", *WAITING)
    environment = docker.ok(
        "run", "--rm", "--link", "web", "-e", "WEB_ENV_COLOUR=blue", "busybox", "env"
    )

    assert "WEB_ENV_COLOUR=blue" in environment.splitlines()
    assert "WEB_ENV_COLOUR=red" not in environment


def test_the_files_are_right_again_at_the_next_start(api: Api) -> None:
    """The address may have changed by then."""
    api.run("web", *WAITING)
    api.run("guest", *WAITING, HostConfig={"Links": ["web:w"]})
    before = address(api, "web")
    api.kill("guest")
    api.wait("guest")
    api.kill("web")
    api.wait("web")
    api.run("squatter", *WAITING)
    api.start("web")
    api.start("guest")
    _, hosts = api.exec_output("guest", "cat", "/etc/hosts")

    assert address(api, "web") != before
    assert f"{address(api, 'web')}\tw ".encode() in hosts


def test_who_runs_follows_a_target_that_has_another_address_now(api: Api) -> None:
    api.run("web", *WAITING)
    api.run("guest", *WAITING, HostConfig={"Links": ["web:w"]})
    assert api.exec_output("guest", "sh", "-c", "echo '10.9.9.9 mine' >> /etc/hosts")[0] == 0
    before = address(api, "web")
    api.kill("web")
    api.wait("web")
    api.run("squatter", *WAITING)

    api.start("web")

    def hosts() -> list[str]:
        return api.exec_output("guest", "cat", "/etc/hosts")[1].decode().splitlines()

    now = f"{address(api, 'web')}\tw {api.inspect('web')['Id'][:12]} web"
    eventually(lambda: now in hosts(), "the new address is in /etc/hosts")
    assert not any(line.startswith(f"{before}\t") for line in hosts())
    assert "10.9.9.9 mine" in hosts()
    assert api.history("guest", type="container_drift_detected") == []


def test_a_link_to_what_does_not_run_is_refused_at_the_start(api: Api) -> None:
    api.create("web", *WAITING)
    api.create("guest", *WAITING, HostConfig={"Links": ["web:w"]})
    wanted = (500, "Cannot link to a non running container: /web AS /guest/w")

    assert refused(api.start, "guest") == wanted
    api.remove("web")
    assert refused(api.start, "guest") == wanted
    assert api.status("guest") == "created"


def test_a_link_out_of_the_default_network_is_refused(api: Api) -> None:
    api.run("web", *WAITING, HostConfig={"NetworkMode": "none"})
    api.create("guest", *WAITING, HostConfig={"Links": ["web:w"]})

    assert refused(api.start, "guest") == (
        500,
        "Cannot link to /web, as it does not belong to the default network",
    )


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("nobody:x", "could not get container for nobody: No such container: nobody"),
        ("a:b:c", "bad format for links: a:b:c"),
        ("", "empty string specified for links"),
        (":", "bad format for links: :"),
    ],
)
def test_a_link_that_means_nothing_makes_no_container(api: Api, link: str, words: str) -> None:
    assert refused(api.create, "guest", "true", HostConfig={"Links": [link]}) == (400, words)
    assert api.ps() == []


def test_a_container_on_the_hosts_network_cannot_be_linked_to(api: Api) -> None:
    api.run("web", *WAITING, HostConfig={"NetworkMode": "host"})

    assert refused(api.create, "guest", "true", HostConfig={"Links": ["web:w"]}) == (
        400,
        "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
    )


def test_links_survive_the_daemons_death(daemon: DaemonUnderTest, api: Api) -> None:
    api.run("web", *WAITING)
    api.create("guest", *WAITING, HostConfig={"Links": ["web:w"]})
    daemon.kill()
    daemon.start()
    api.start("guest")
    _, hosts = api.exec_output("guest", "cat", "/etc/hosts")

    assert f"{address(api, 'web')}\tw ".encode() in hosts
