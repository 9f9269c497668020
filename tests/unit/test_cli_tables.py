"""Test columns as Go's tabwriter sets them, and the choice between table and template."""

import pytest

from engine.cli.columns import aligned, ellipsis, short_id
from engine.cli.containers import container_fields, go_quoted
from engine.cli.failures import Failure
from engine.cli.history import row, who
from engine.cli.ports import displayed
from engine.cli.tables import Layout
from engine.cli.template.values import Fields

CREATED_S = 1795461000
CONTAINER = {
    "Id": "4f5e6d7c8b9a00112233",
    "Names": ["/web", "/db/alias"],
    "Image": "busybox",
    "ImageID": "sha256:108576ec5ac5",
    "Command": "sleep 1000000000000000000000",
    "Created": CREATED_S,
    "Ports": [],
    "Labels": {"tier": "front", "app": "shop"},
    "State": "running",
    "Status": "Up 5 minutes",
    "NetworkSettings": {"Networks": {"bridge": {}}},
    "Mounts": [{"Type": "bind", "Source": "/a/very/long/path/indeed"}],
    "SizeRw": 12,
    "SizeRootFs": 1984000,
}


def test_a_column_is_three_wider_than_its_widest_cell_and_ten_at_least() -> None:
    assert aligned("A\tB\nlonger cell\tx") == "A             B\nlonger cell   x"
    assert aligned("A\tB\nb\tx") == "A         B\nb         x"


def test_a_line_without_a_cell_ends_the_column() -> None:
    assert aligned("a\tb\nplain\nccccccccccc\td") == "a         b\nplain\nccccccccccc   d"


def test_nothing_is_padded_behind_the_last_cell() -> None:
    assert aligned("a\tb\nc\tdddd").split("\n")[0] == "a         b"


def test_a_text_too_long_ends_in_an_ellipsis() -> None:
    assert ellipsis("sleep 1000", 20) == "sleep 1000"
    assert ellipsis("sleep 100000000000000000000", 20) == "sleep 1000000000000…"
    assert ellipsis("日本語日本語", 5) == "日本…"


def test_a_container_is_shown_as_docker_shows_it() -> None:
    fields = container_fields(CONTAINER, truncated=True, moment_s=CREATED_S + 300)
    shown = {name: column() for name, column in fields.columns.items()}

    assert shown["ID"] == "4f5e6d7c8b9a"
    assert shown["Names"] == "web"
    assert shown["Command"] == '"sleep 1000000000000…"'
    assert shown["RunningFor"] == "5 minutes ago"
    assert shown["Labels"] == "app=shop,tier=front"
    assert shown["Mounts"] == "/a/very/long/p…"
    assert shown["Networks"] == "bridge"
    assert shown["Size"] == "12B (virtual 1.98MB)"
    assert fields.methods["Label"]("tier") == "front"


def test_an_untruncated_list_shows_whole_values() -> None:
    fields = container_fields(CONTAINER, truncated=False, moment_s=CREATED_S)

    assert fields.columns["ID"]() == CONTAINER["Id"]
    assert fields.columns["Names"]() == "web,db/alias"
    assert fields.columns["Command"]() == '"sleep 1000000000000000000000"'


def test_a_command_is_quoted_so_that_it_stays_on_its_line() -> None:
    assert go_quoted('a "b"\n\x01é') == '"a \\"b\\"\\n\\x01é"'


def test_a_table_of_ones_own_has_the_titles_of_its_fields() -> None:
    layout = Layout("table {{.A}}\\t{{upper .B}}", "{{.A}}", {"A": "FIRST", "B": "SECOND"})

    assert layout.header() == "FIRST\tSECOND"
    assert layout.row(Fields("*row", {"A": lambda: "1", "B": lambda: "x"})) == "1\tX"


def test_a_verbs_own_table_needs_no_template_and_shows_the_same() -> None:
    row_fields = Fields("*row", {"A": lambda: "1", "B": lambda: None})

    assert Layout("", "{{.A}}\t{{.B}}", {}).row(row_fields) == "1\t<no value>"
    assert Layout("{{.A}}\t{{.B}}{{``}}", "", {}).row(row_fields) == "1\t<no value>"


@pytest.mark.parametrize("source", ["{{.Foo}}", "{{.Foo}}{{``}}"])
def test_a_field_that_a_row_has_not_is_named(source: str) -> None:
    with pytest.raises(Failure) as refused:
        Layout(source, "", {}).row(Fields("*formatter.ContainerContext", {}))

    assert str(refused.value) == (
        'failed to execute template: template: :1:2: executing "" at <.Foo>: '
        "can't evaluate field Foo in type *formatter.ContainerContext"
    )


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        ([], ""),
        ([{"PrivatePort": 90, "Type": "tcp"}], "90/tcp"),
        ([{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 80, "Type": "tcp"}], "0.0.0.0:80->80/tcp"),
        ([{"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}], "[::]:8080->80/tcp"),
        (
            [{"PrivatePort": port, "Type": "tcp"} for port in (81, 80, 83)],
            "80-81/tcp, 83/tcp",
        ),
    ],
)  # fmt: skip
def test_neighbouring_ports_are_shown_as_one_range(
    ports: list[dict[str, object]], text: str
) -> None:
    assert displayed(ports) == text


def test_a_short_id_has_twelve_digits_and_no_algorithm() -> None:
    assert short_id("sha256:108576ec5ac5f346381513fa") == "108576ec5ac5"


def test_history_says_when_what_which_and_who() -> None:
    event = {
        "at_ns": 1795461697360084201,
        "type": "container_started",
        "name": "web",
        "id": "4f5e6d7c8b9a00112233",
        "actor": {"kind": "user", "name": "anna", "uid": 1000, "pid": 47, "program": "/usr/bin/docker", "login_uid": 1000},
        "outcome": "ok",
        "cause": 6,
        "correlation": "9c1d",
    }  # fmt: skip

    columns = row(event, verbose=True)

    assert columns[0].endswith(".360084201Z") or ".360084201+" in columns[0]
    assert columns[1:] == (
        "container_started",
        "web (4f5e6d7c8b9a)",
        "anna(1000) pid 47 /usr/bin/docker",
        "ok",
        "9c1d",
        "#6",
    )


def test_the_login_user_is_shown() -> None:
    actor = {
        "kind": "user",
        "name": "root",
        "uid": 0,
        "pid": 9,
        "program": "/bin/x",
        "login_uid": 1000,
    }

    assert who(actor) == "root(0) login 1000 pid 9 /bin/x"
    assert who({"kind": "supervisor"}) == "supervisor"
