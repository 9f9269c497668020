"""Test Go templates as used in ``--format``."""

import pytest

from engine.cli.failures import Failure
from engine.cli.template.evaluation import Template
from engine.cli.template.values import Fields

CONTAINER = {
    "Id": "4f5e6d7c8b9a",
    "Name": "/web",
    "State": {"Status": "running", "Pid": 3, "Running": True},
    "Config": {"Env": ["A=1", "B=2"], "Labels": {"tier": "front", "app": "shop"}},
    "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}},
    "HostConfig": {"NanoCpus": 5},
    "Mixed": [1, 2.5, True, None],
    "Nothing": None,
}

SHOWN = [
    ("{{.Name}}", "/web"),
    ("a{{.Name}}b", "a/webb"),
    ("{{.State.Status}}", "running"),
    ("{{.ID}} {{.HostConfig.NanoCPUs}}", "4f5e6d7c8b9a 5"),
    ("{{json .State}}", '{"Status":"running","Pid":3,"Running":true}'),
    ('{{json "<&>"}}', '"\\u003c\\u0026\\u003e"'),
    ("{{.State}}", "{running 3 true}"),
    ("{{.Config.Labels}}", "map[app:shop tier:front]"),
    ("{{.Config.Env}}", "[A=1 B=2]"),
    ("{{.Mixed}} {{.Nothing}}", "[1 2.5 true <nil>] <no value>"),
    ("{{.Config.Labels.missing}}", "<no value>"),
    ('{{index .Config.Labels "tier"}}', "front"),
    ('{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "8080"),
    ("{{range .Config.Env}}{{.}};{{end}}", "A=1;B=2;"),
    ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}", "app=shop tier=front "),
    ("{{range $i, $e := .Config.Env}}{{if $i}},{{end}}{{$e}}{{end}}", "A=1,B=2"),
    ("{{range .Nothing}}x{{else}}none{{end}}", "none"),
    ("{{range .Config.Env}}{{.}}{{break}}{{end}}", "A=1"),
    ('{{range .Config.Env}}{{if eq . "A=1"}}{{continue}}{{end}}{{.}}{{end}}', "B=2"),
    ('{{if eq .State.Status "exited" "running"}}up{{else}}down{{end}}', "up"),
    ("{{if .Nothing}}a{{else if .Name}}b{{else}}c{{end}}", "b"),
    ("{{if and .Name (not .Nothing)}}yes{{end}}", "yes"),
    ("{{with .State}}{{.Pid}} of {{$.Name}}{{end}}", "3 of /web"),
    ("{{with .Nothing}}a{{else}}b{{end}}", "b"),
    ("{{$x := .Name}}{{$x}}", "/web"),
    ("{{.Name | upper | printf `%q`}}", '"/WEB"'),
    ('{{join .Config.Env ","}} {{len .Config.Env}}', "A=1,B=2 2"),
    ("{{slice .Id 0 4}} {{lower `ABC`}} {{title `two words`}}", "4f5e abc Two Words"),
    ('{{println "a" 1}}', "a 1\n"),
    ('{{printf "%-6s|%3d|%v" "ab" 7 true}}', "ab    |  7|true"),
    ('{{gt .State.Pid 2}} {{le 1 1}} {{ne 1 2}} {{or "" "z"}}', "true true true z"),
    ("a {{- 1 -}} b", "a1b"),
    ("{{/* a comment */}}x", "x"),
    ('{{split "a:b" ":"}} {{truncate "abcdef" 3}} {{pad "x" 1 2}}|', "[a b] abc  x  |"),
    ('{{"}}"}}', "}}"),
]


@pytest.mark.parametrize(("source", "text"), SHOWN)
def test_a_template_shows_what_go_shows(source: str, text: str) -> None:
    assert Template(source).render(CONTAINER) == text


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{", "unclosed action"),
        ("{{nonesuch .}}", 'function "nonesuch" not defined'),
        ("{{if}}x{{end}}", "missing value for if"),
        ("{{range .A}}x", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{}}", "missing value for command"),
    ],
)
def test_what_is_no_template_is_refused_with_gos_words_and_dockers_code(
    source: str, reason: str
) -> None:
    with pytest.raises(Failure) as refused:
        Template(source)

    assert str(refused.value) == f"template parsing error: template: :1: {reason}"
    assert refused.value.exit_code == 64


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{.Foo}}", 'executing "" at <.Foo>: map has no entry for key "Foo"'),
        ("{{.State.Foo}}", 'executing "" at <.State.Foo>: map has no entry for key "Foo"'),
        ("{{index .Config.Env 9}}", "index out of range: 9"),
        ("{{lt 1 `a`}}", "incompatible types for comparison"),
    ],
)
def test_a_field_that_is_not_there_is_an_error_that_names_it(source: str, reason: str) -> None:
    with pytest.raises(LookupError) as missing:
        Template(source).render(CONTAINER)

    assert reason in missing.value.args[0]


def test_a_column_is_computed_only_when_it_is_shown() -> None:
    asked = []
    row = Fields("*row", {"A": lambda: "a", "B": lambda: asked.append("B")})

    assert Template("{{.A}}").render(row) == "a"
    assert asked == []


def test_a_whole_row_as_json_has_its_columns_in_order() -> None:
    row = Fields("*row", {"B": lambda: 2, "A": lambda: "a"})

    assert Template("{{json .}}").render(row) == '{"A":"a","B":2}'


def test_a_column_with_an_argument_is_called_with_it() -> None:
    row = Fields("*row", {}, {"Label": lambda name: f"<{name}>"})

    assert Template('{{.Label "tier"}}').render(row) == "<tier>"
