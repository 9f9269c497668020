"""Try every subcommand that ``docker --help`` lists: it succeeds, or is refused with a reason.

A table's line is ``exit code | command | words of its answer``; a family's lines are one session,
in this order, with ``{tmp}`` for a directory of its own. The expected words were compared with
Docker's own daemon; what is not supported yet says that it is not.
"""

import re
import shlex
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.api.clients import Client

pytestmark = pytest.mark.root

CONTAINERS: Final = """
0 | container create --name made --label tried busybox sleep 1000 |
0 | container run -d --name runs busybox sleep 1000 |
125 | container run --nosuch busybox | unknown flag: --nosuch
0 | container ls -a --no-trunc --size --filter label=tried --format {{.Names}} | made
0 | container inspect --size --format {{.SizeRw}} made | 0
1 | container attach made | cannot attach to a stopped container, start it first
0 | container start made | made
1 | container start nosuch | No such container: nosuch
0 | container exec made sh -c 'echo hello > /said' |
0 | container diff made | A /said
0 | container cp made:/said {tmp}/said |
0 | container cp --quiet {tmp}/said made:/root/again |
0 | container export --output {tmp}/made.tar made |
0 | container logs --details --timestamps --tail 1 made |
1 | container logs --since garbage made | failed to parse value as time or duration: "garbage"
0 | container top made -o pid,args | sleep 1000
0 | container stats --no-stream --format '{{.Name}} {{.PIDs}}' made | made 1
0 | container port made |
1 | container port made 80 | No public port '80' published for made
0 | container pause made | made
1 | container pause made | is already paused
1 | container exec made true | is paused
0 | container unpause made | made
1 | container unpause made | is not paused
0 | container update --memory 64m --memory-swap 64m made | made
1 | container update made | you must provide one or more flags
0 | container rename made renamed |
1 | container rename renamed renamed | Renaming a container with the same name as its current name
0 | container commit --author me --message why renamed committed | sha256:
0 | container restart --time 0 renamed | renamed
1 | container kill --signal 99 renamed | the linux daemon does not support signal 99
0 | container kill renamed | renamed
0 | container wait renamed | 137
1 | container kill renamed | is not running
0 | container stop --time 0 runs renamed | runs
1 | container prune --force --filter until=garbage | failed to parse value as time or duration: "garbage"
0 | container rm renamed | renamed
0 | container prune --force | Deleted Containers:
1 | container rm --volumes --link nosuch | No such container: nosuch
0 | image rm committed | Untagged: committed:latest
"""

IMAGES: Final = """
0 | image save --output {tmp}/saved.tar busybox |
0 | image load --quiet --input {tmp}/saved.tar | Loaded image: busybox:latest
0 | container create --name source busybox true |
0 | container export --output {tmp}/root.tar source |
0 | image import --message why --change 'CMD ["ls"]' {tmp}/root.tar tried:1 | sha256:
1 | image import --change 'RUN x' {tmp}/root.tar tried:2 | run is not a valid change command
0 | image ls --no-trunc --digests --filter reference=tried:* | tried
0 | image inspect --format {{.Config.Cmd}} tried:1 | [ls]
1 | image inspect nosuch | No such image: nosuch:latest
0 | image history --human=false --no-trunc tried:1 | why
0 | image tag tried:1 tried:2 |
1 | image tag nosuch tried:3 | No such image: nosuch:latest
1 | image tag tried:1 BAD | must be lowercase
1 | image rm tried:1 nosuch | No such image: nosuch:latest
0 | image rm --no-prune tried:2 | Untagged: tried:2
0 | image prune --force | Total reclaimed space: 0B
1 | image prune --force --filter until=garbage | failed to parse value as time or duration: "garbage"
1 | image pull 127.0.0.1:1/nosuch |
1 | image push 127.0.0.1:1/nosuch | An image does not exist locally with the tag: 127.0.0.1:1/nosuch
1 | image build {tmp} | Dockerfile: no such file or directory
0 | container rm source |
"""

SYSTEM: Final = """
0 | system info --format {{.OSType}} | linux
1 | system info --format {{.Nope}} | can't evaluate field Nope
0 | system df | Local Volumes
0 | system df --verbose | Images space usage:
0 | system df --format {{.Type}} | Build Cache
0 | system events --since 0 --until 1 |
1 | system events --until garbage | failed to parse value as time or duration: "garbage"
0 | system prune --force --volumes --filter label=nosuch | Total reclaimed space: 0B
0 | system prune --force --all --filter label=nosuch | Total reclaimed space: 0B
1 | system prune --force --filter nope=1 | invalid filter 'nope'
"""

NETWORKS: Final = """
0 | network ls --no-trunc --format '{{.Name}} {{.Driver}} {{.Scope}}' | none null local
0 | network inspect --format {{.Driver}} bridge | bridge
1 | network inspect nosuch | network nosuch not found
1 | network connect bridge nosuch | No such container: nosuch
1 | network disconnect bridge nosuch | No such container: nosuch
1 | network rm bridge | bridge is a pre-defined network and cannot be removed
1 | network rm nosuch | network nosuch not found
0 | network prune --force |
0 | network create tried |
1 | network create tried | network with name tried already exists
0 | network rm tried | tried
"""

VOLUMES: Final = """
0 | volume ls | VOLUME NAME
1 | volume inspect nosuch | get nosuch: no such volume
1 | volume rm nosuch | get nosuch: no such volume
1 | volume update nosuch | get nosuch: no such volume
0 | volume prune --force | Total reclaimed space: 0B
1 | volume create tried | volumes are not supported yet
"""

PLUGINS: Final = """
0 | plugin ls | ENABLED
1 | plugin inspect nosuch | plugin "nosuch" not found
1 | plugin enable nosuch | plugin "nosuch" not found
1 | plugin disable nosuch | plugin "nosuch" not found
1 | plugin rm nosuch | plugin "nosuch" not found
1 | plugin set nosuch a=b | plugin "nosuch" not found
1 | plugin push nosuch | plugin "nosuch:latest" not found
1 | plugin upgrade nosuch | plugin "nosuch" not found
1 | plugin install --grant-all-permissions 127.0.0.1:1/nosuch | plugins are not supported
1 | plugin create tried {tmp}/nosuch | no such file or directory
"""

CONTEXTS: Final = """
0 | context create tried --docker host=unix:///nosuch.sock | Successfully created context "tried"
0 | context inspect --format {{.Name}} tried | tried
0 | context update tried --description why | Successfully updated context "tried"
0 | context ls | tried
0 | context export tried {tmp}/tried.context | Written file
0 | context import tried2 {tmp}/tried.context | Successfully imported context "tried2"
0 | context use tried2 | Current context is now "tried2"
0 | context show | default
0 | context use default | Current context is now "default"
0 | context rm tried tried2 | tried2
"""

BUILDERS: Final = """
1 | builder build {tmp} | Dockerfile: no such file or directory
0 | builder prune --force | Total reclaimed space: 0B
"""

CHECKPOINTS: Final = """
1 | checkpoint ls nosuch | only supported on a Docker daemon with experimental features enabled
1 | checkpoint create nosuch one | only supported on a Docker daemon with experimental features enabled
1 | checkpoint rm nosuch one | only supported on a Docker daemon with experimental features enabled
"""

NOT_A_MANAGER: Final = "This node is not a swarm manager."

SWARM: Final = f"""
1 | swarm init | swarm mode is not supported
1 | swarm join 127.0.0.1:1 | swarm mode is not supported
1 | swarm join-token worker | {NOT_A_MANAGER}
1 | swarm leave | This node is not part of a swarm
1 | swarm ca | {NOT_A_MANAGER}
1 | swarm unlock | This node is not part of a swarm
1 | swarm unlock-key | {NOT_A_MANAGER}
1 | swarm update --autolock | {NOT_A_MANAGER}
1 | node ls | {NOT_A_MANAGER}
1 | node inspect self | {NOT_A_MANAGER}
1 | node ps | {NOT_A_MANAGER}
1 | node promote one | {NOT_A_MANAGER}
1 | node demote one | {NOT_A_MANAGER}
1 | node rm one | {NOT_A_MANAGER}
1 | node update one | {NOT_A_MANAGER}
1 | service ls | {NOT_A_MANAGER}
1 | service create busybox | {NOT_A_MANAGER}
1 | service inspect one | {NOT_A_MANAGER}
1 | service logs one | {NOT_A_MANAGER}
1 | service ps one | {NOT_A_MANAGER}
1 | service rm one | {NOT_A_MANAGER}
1 | service rollback one | {NOT_A_MANAGER}
1 | service scale one=1 | {NOT_A_MANAGER}
1 | service update one | {NOT_A_MANAGER}
1 | secret ls | {NOT_A_MANAGER}
1 | secret create one /etc/hostname | {NOT_A_MANAGER}
1 | secret inspect one | {NOT_A_MANAGER}
1 | secret rm one | {NOT_A_MANAGER}
1 | config ls | {NOT_A_MANAGER}
1 | config create one /etc/hostname | {NOT_A_MANAGER}
1 | config inspect one | {NOT_A_MANAGER}
1 | config rm one | {NOT_A_MANAGER}
1 | stack ls | {NOT_A_MANAGER}
1 | stack ps one | {NOT_A_MANAGER}
1 | stack rm one | {NOT_A_MANAGER}
1 | stack services one | {NOT_A_MANAGER}
1 | stack config --compose-file /nosuch.yaml | no such file or directory
1 | stack deploy --compose-file /nosuch.yaml one | no such file or directory
"""

SIGNATURES: Final = """
1 | manifest inspect 127.0.0.1:1/nosuch | connection refused
1 | manifest create 127.0.0.1:1/list 127.0.0.1:1/nosuch | connection refused
1 | manifest annotate 127.0.0.1:1/list 127.0.0.1:1/nosuch --arch amd64 | does not exist in 127.0.0.1:1/list
1 | manifest push 127.0.0.1:1/list | No such manifest: 127.0.0.1:1/list
1 | manifest rm 127.0.0.1:1/list | No such manifest: 127.0.0.1:1/list
1 | trust inspect 127.0.0.1:1/nosuch | no signatures or cannot access 127.0.0.1:1/nosuch
1 | trust revoke --yes 127.0.0.1:1/nosuch:1 | could not remove signature for 127.0.0.1:1/nosuch:1
1 | trust sign 127.0.0.1:1/nosuch:1 |
1 | trust key load {tmp}/nosuch | no such file or directory
1 | trust signer remove one 127.0.0.1:1/nosuch | error removing signer from
"""

ALIASES: Final = """
0 | create --name made --publish 127.0.0.1::80 busybox sleep 1000 |
1 | attach made | cannot attach to a stopped container
0 | start made | made
0 | ps --latest --quiet --no-trunc |
0 | port made 80/tcp | 127.0.0.1:
0 | exec made touch /new |
0 | cp made:/new {tmp}/new |
0 | diff made | A /new
0 | export --output {tmp}/made.tar made |
0 | import {tmp}/made.tar imported | sha256:
0 | commit made committed | sha256:
0 | history committed | IMAGE
0 | tag committed tagged |
0 | images --quiet tagged |
0 | save --output {tmp}/tagged.tar tagged |
0 | load --input {tmp}/tagged.tar | Loaded image: tagged:latest
0 | rmi tagged committed imported | Untagged: imported:latest
0 | inspect --type container --format {{.Name}} made | /made
1 | inspect nosuch | No such object: nosuch
0 | logs made |
0 | top made | sleep 1000
0 | stats --no-stream made | made
0 | update --pids-limit 100 made | made
0 | pause made | made
0 | unpause made | made
0 | rename made renamed |
0 | restart --signal KILL --time 0 renamed | renamed
0 | kill renamed | renamed
0 | wait renamed | 137
0 | stop renamed | renamed
0 | rm renamed | renamed
0 | run --rm busybox echo ran | ran
0 | events --since 0 --until 1 |
0 | info --format {{.Driver}} | overlay2
0 | version --format {{.Server.Os}} | linux
1 | build {tmp} | Dockerfile: no such file or directory
1 | pull 127.0.0.1:1/nosuch |
1 | push 127.0.0.1:1/nosuch | An image does not exist locally
1 | search nosuch | is not supported yet
1 | login --username one --password two 127.0.0.1:1 | connection refused
0 | logout 127.0.0.1:1 | Removing login credentials for 127.0.0.1:1
1 | nosuch | unknown command: docker nosuch
"""

SESSIONS: Final = {
    "containers": CONTAINERS,
    "images": IMAGES,
    "system": SYSTEM,
    "networks": NETWORKS,
    "volumes": VOLUMES,
    "plugins": PLUGINS,
    "contexts": CONTEXTS,
    "builders": BUILDERS,
    "checkpoints": CHECKPOINTS,
    "swarm": SWARM,
    "signatures": SIGNATURES,
    "aliases": ALIASES,
}
FAMILIES: Final = {
    *(
        "builder",
        "config",
        "container",
        "context",
        "image",
        "manifest",
        "network",
        "node",
        "plugin",
    ),
    *("secret", "service", "stack", "swarm", "system", "trust", "volume"),
}
"""The words of help that have subcommands of their own; those of ``checkpoint`` are listed with an
experimental daemon only.
"""

_LISTED: Final = re.compile(r"^  ([a-z][a-z-]*) {2,}\S", re.MULTILINE)
"""A subcommand in the text of ``--help``; an asterisk after its name would mean a plugin's."""


class Step(NamedTuple):
    """One command of a session, and its outcome."""

    code: int
    words: list[str]
    says: str


def steps(session: str) -> list[Step]:
    """Yield the lines of a table."""
    rows = (row.split("|") for row in session.strip().splitlines())
    return [Step(int(code), shlex.split(line), says.strip()) for code, line, says in rows]


@pytest.mark.parametrize("name", SESSIONS)
def test_each_command_of_a_family_succeeds_or_gives_a_reason(
    name: str, docker: Client, tmp_path: Path
) -> None:
    for step in steps(SESSIONS[name]):
        done = docker(*(word.replace("{tmp}", str(tmp_path)) for word in step.words))

        assert done.code == step.code, (step.words, done)
        assert step.says in done.out + done.err, (step.words, done)
        assert done.code == 0 or done.err.strip(), f"refused without a word: {step.words}"


def test_no_subcommand_of_dockers_help_was_left_out(docker: Client) -> None:
    """Families of a swarm are not on the first page while there is none."""
    tried = {tuple(step.words[:2]) for session in SESSIONS.values() for step in steps(session)}
    commands = _LISTED.findall(docker.ok("--help"))
    listed = {
        (family, name)
        for family in FAMILIES
        for name in _LISTED.findall(docker.ok(family, "--help"))
    }

    assert len(commands) > 50
    assert set(commands) - {first for first, *_ in tried} == set()
    assert {family for family, _ in listed} == FAMILIES
    assert listed - tried == set()
