"""Test the files that a container gets, byte for byte as Docker's; the samples were read from
Docker 20.10.
"""

import pytest

from engine.domain.container.etc_files import (
    hostname_text,
    hosts_of_host_text,
    hosts_text,
    only_loopback,
    resolv_conf_text,
    updated_hosts_text,
)

LOCAL = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
HOST = "# made by hand\nsearch lan\nnameserver 10.0.0.1\noptions edns0\n"


def test_a_container_without_network_knows_itself_only_as_localhost() -> None:
    assert hosts_text() == LOCAL
    assert hostname_text("web") == "web\n"


def test_extra_hosts_come_before_the_containers_own_name() -> None:
    text = hosts_text(("foo:1.2.3.4", "six:::1", "seven:[::2]"), ("172.17.0.2",), "web", "dom.ain")

    assert text == LOCAL + "1.2.3.4\tfoo\n::1\tsix\n::2\tseven\n172.17.0.2\tweb.dom.ain web\n"


def test_while_it_runs_only_the_engines_lines_change() -> None:
    by_hand = "10.0.0.9 printer # mine\n10.0.0.8\tweb2\n"
    linked = [("172.17.0.3", "db 0123456789ab database")]
    before = hosts_text((), ("172.17.0.2",), "web", linked=linked).replace("127.0.0.1", "127.0.0.5")
    moved = [("172.17.0.7", "db 0123456789ab database")]
    wanted = hosts_text((), ("172.17.0.2", "10.1.0.2"), "web", linked=moved)

    text = updated_hosts_text(before + by_hand, wanted, ("web", "db 0123456789ab"))

    kept = before.replace("172.17.0.3\tdb 0123456789ab database\n", "")
    new = "172.17.0.7\tdb 0123456789ab database\n10.1.0.2\tweb\n"
    assert text == kept + by_hand + new
    assert updated_hosts_text(text, wanted, ("web", "db 0123456789ab")) == text


@pytest.mark.parametrize(
    ("hostname", "names"), [("162308424f2d", "162308424f2d"), ("web.example", "web.example web")]
)
def test_a_container_finds_itself_by_name(hostname: str, names: str) -> None:
    assert hosts_text((), ("172.17.0.2",), hostname) == f"{LOCAL}172.17.0.2\t{names}\n"


def test_the_hosts_servers_are_asked_unless_others_are_set() -> None:
    assert resolv_conf_text(HOST) == HOST


@pytest.mark.parametrize("loopback", ["127.0.0.53", "::1", "127.0.0.1"])
def test_a_server_on_the_hosts_loopback_is_left_out(loopback: str) -> None:
    assert resolv_conf_text(f"nameserver {loopback}\n{HOST}") == HOST
    assert resolv_conf_text(f"search a\nnameserver {loopback}\n") == (
        "search a\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n"
    )


def test_given_dns_settings_replace_only_the_hosts_same_lines() -> None:
    assert resolv_conf_text(HOST, servers=("9.9.9.9",)) == (
        "search lan\nnameserver 9.9.9.9\noptions edns0\n"
    )
    assert resolv_conf_text("nameserver 1.1.1.1\n", ("9.9.9.9",), ("a.b", "c"), ("ndots:3",)) == (
        "search a.b c\nnameserver 9.9.9.9\noptions ndots:3\n"
    )


def test_a_dot_means_no_search_list() -> None:
    assert resolv_conf_text(HOST, search=(".",)) == "nameserver 10.0.0.1\noptions edns0\n"


def test_a_loopback_only_resolver_is_recognised() -> None:
    assert only_loopback("nameserver 127.0.0.53\n")
    assert not only_loopback(HOST)
    assert not only_loopback("")


def test_the_hosts_own_file_is_kept_and_added_to() -> None:
    extra = ("far:[2001:db8::1]", "out:host-gateway")

    assert hosts_of_host_text("127.0.0.1 localhost", extra, "172.17.0.1") == (
        "127.0.0.1 localhost\n2001:db8::1\tfar\n172.17.0.1\tout\n"
    )
    assert hosts_of_host_text("", (), "") == ""
