"""Test the body of a create request against what Docker's own client sends for the same command
line.
"""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from engine.cli.container_body import create_body
from engine.cli.container_flags import RUN_ONLY, SHARED
from engine.cli.failures import Failure
from engine.cli.flags import parse
from engine.cli.ports import parse_publish

RECORDED: Final = json.loads(Path(__file__).with_name("test_cli_create_bodies.json").read_text())
ENV_FILE: Final = "A=1\n# c\n\nB\nC= 2 \n"
PROFILE: Final = '{"defaultAction": "SCMP_ACT_ALLOW"}'


def translated(command: str) -> dict[str, Any]:
    verb, *words = command.split()
    flags = SHARED + (RUN_ONLY if verb == "run" else ())
    options, (image, *rest) = parse(words, flags, interspersed=False)
    return create_body(options, image, rest)


def meant(value: Any) -> Any:
    """Return a value without what is empty, zero or null: an engine treats a missing field the
    same.
    """
    if isinstance(value, dict):
        shorter = {name: meant(inner) for name, inner in value.items()}
        return {n: v for n, v in shorter.items() if v not in (None, "", 0, [], {}, False)}
    return value


@pytest.fixture
def _in_a_directory_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "envf").write_text(ENV_FILE)
    (tmp_path / "profile.json").write_text(PROFILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIVEN", "here")
    monkeypatch.delenv("ABSENT", raising=False)
    monkeypatch.delenv("B", raising=False)


@pytest.mark.usefixtures("_in_a_directory_of_files")
@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: str(case["command"])[:60])
def test_the_body_says_what_dockers_client_says(case: dict[str, Any], tmp_path: Path) -> None:
    recorded = json.loads(json.dumps(case["body"]).replace("/tmp/climock/g/", f"{tmp_path}/"))

    assert meant(translated(case["command"])) == meant(recorded)


@pytest.mark.usefixtures("_in_a_directory_of_files")
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("run --rm --restart always x", "conflicting options: cannot specify both --restart and --rm"),
        ("run --restart on-failure:x x", "invalid restart policy format: maximum retry count must be an integer"),
        ("run --mount type=bind,src=/a,dst=/b,ro=maybe x", 'invalid argument "type=bind,src=/a,dst=/b,ro=maybe" for "--mount" flag: invalid value for ro: maybe'),
        ("run --mount type=bind,src=/a,dst=/b,volume x", 'invalid argument "type=bind,src=/a,dst=/b,volume" for "--mount" flag: invalid field \'volume\' must be a key=value pair'),
        ("run --security-opt nope x", 'Invalid --security-opt: "nope"'),
        ("run --security-opt seccomp=nofile x", "opening seccomp profile (nofile) failed: open nofile: no such file or directory"),
        ("run --env-file nope x", "open nope: no such file or directory"),
        ("run --health-cmd a --no-healthcheck x", "--no-healthcheck conflicts with --health-* options"),
        ("run -p foo x", "invalid containerPort: foo"),
        ("run -p 80/foo x", "invalid proto: foo"),
        ("run -p 80-82:90-91 x", "invalid ranges specified for container and host Ports: 90-91 and 80-82"),
        ("run -v :/a x", "invalid spec: :/a: empty section between colons"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_before_anything_is_asked(
    command: str, reason: str
) -> None:
    with pytest.raises(Failure) as refused:
        translated(command)

    assert str(refused.value) == reason


def test_a_range_of_ports_is_published_port_by_port() -> None:
    assert parse_publish("127.0.0.1:5000-5001:6000-6001/udp") == [
        ("6000/udp", {"HostIp": "127.0.0.1", "HostPort": "5000"}),
        ("6001/udp", {"HostIp": "127.0.0.1", "HostPort": "5001"}),
    ]
    assert parse_publish("8000-8010:80") == [("80/tcp", {"HostIp": "", "HostPort": "8000-8010"})]
