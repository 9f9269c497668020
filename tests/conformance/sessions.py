"""What people and programs do with an engine, as scripts; each checks for itself what must come of
a step."""

import io
import tarfile
from typing import Final

from tests.conformance.session_recorder import Session, Stage
from tests.harness.conditions import eventually

IDLE: Final = ("sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done")


def run_and_its_exit_codes(stage: Stage) -> None:
    stage.docker("run", "--rm", "--name", "aa", "busybox", "echo", "hello")
    stage.docker(
        "run",
        "--rm",
        "--name",
        "bb",
        "busybox",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 3",
        code=3,
    )
    stage.docker("run", "--rm", "--name", "cc", "-i", "busybox", "cat", given=b"through\n")
    stage.docker("run", "--rm", "--name", "dd", "busybox", "/nosuch", code=127, shown=False)
    stage.docker("run", "--rm", "--name", "ee", "busybox", "/etc", code=126, shown=False)
    stage.docker(
        "run",
        "--rm",
        "--name",
        "ff",
        "--entrypoint",
        "echo",
        "-e",
        "A=b",
        "-w",
        "/tmp",
        "-u",
        "1000",
        "busybox",
        "x",
    )
    stage.docker("run", "-d", "--name", "web", "--label", "tier=front", "busybox", *IDLE)
    stage.docker("run", "--name", "web", "busybox", "true", code=125)
    stage.docker("ps", "--format", "{{.Names}} {{.Image}} {{.Status}} {{.Command}} {{.Ports}}")
    stage.docker("ps")
    stage.docker("rm", "-f", "web")
    stage.events()


def life_of_a_container(stage: Stage) -> None:
    stage.docker("create", "--name", "web", "busybox", *IDLE)
    stage.http("GET", "/containers/web/json", status=200)
    stage.http("GET", "/containers/json", status=200, all=1)
    stage.docker("start", "web")
    stage.http("POST", "/containers/web/start", status=304)
    stage.http("GET", "/containers/web/json", status=200)
    stage.http("GET", "/containers/json", status=200)
    stage.docker("pause", "web")
    stage.docker("pause", "web", code=1)
    stage.docker("exec", "web", "true", code=1)
    stage.docker("ps", "--filter", "status=paused", "--format", "{{.Names}}: {{.Status}}")
    stage.docker("unpause", "web")
    stage.docker("unpause", "web", code=1)
    stage.docker("rename", "web", "site")
    stage.docker("rm", "site", code=1)
    stage.docker("stop", "-t", "5", "site")
    stage.http("POST", "/containers/site/stop", status=304)
    stage.docker("wait", "site")
    stage.http("GET", "/containers/site/json", status=200)
    stage.docker("start", "site")
    stage.docker("restart", "-t", "1", "site")
    stage.docker("kill", "-s", "KILL", "site")
    stage.docker("wait", "site")
    stage.docker("ps", "-a", "--format", "{{.Names}}: {{.Status}}")
    stage.docker("kill", "site", code=1)
    stage.docker("rm", "site")
    stage.docker("rm", "site", code=1)
    stage.events()


def execs(stage: Stage) -> None:
    stage.docker("run", "-d", "--name", "web", "busybox", *IDLE)
    stage.docker("exec", "web", "echo", "inside")
    stage.docker("exec", "-i", "web", "cat", given=b"through\n")
    stage.docker(
        "exec",
        "-e",
        "A=b",
        "-w",
        "/tmp",
        "-u",
        "1000",
        "web",
        "sh",
        "-c",
        "echo $A $PWD; id -u; exit 4",
        code=4,
    )
    made = stage.http(
        "POST", "/containers/web/exec", {"Cmd": ["true"], "AttachStdout": True}, status=201
    ).json["Id"]
    stage.http("GET", f"/exec/{made}/json", status=200)
    stage.http("POST", f"/exec/{made}/start", {"Detach": True}, status=200)
    eventually(lambda: not stage.api.get(f"/exec/{made}/json")["Running"], "the exec ends")
    stage.http("GET", f"/exec/{made}/json", status=200)
    stage.http("POST", f"/exec/{made}/start", {"Detach": True}, status=409)
    stage.http("POST", "/containers/web/exec", {"Cmd": []}, status=400)
    stage.http("POST", "/containers/nosuch/exec", {"Cmd": ["true"]}, status=404)
    stage.http("GET", "/exec/nosuch/json", status=404)
    stage.docker("top", "web", "-o", "pid,args", shown=False)
    stage.docker("rm", "-f", "web")
    stage.docker("create", "--name", "still", "busybox", "true")
    stage.http("POST", "/containers/still/exec", {"Cmd": ["true"]}, status=409)
    stage.http("GET", "/containers/still/top", status=409)
    stage.docker("rm", "still")
    stage.events()


def logs(stage: Stage) -> None:
    stage.docker("run", "--name", "talk", "busybox", "sh", "-c", "echo one; echo two; echo three")
    stage.docker("logs", "talk")
    stage.docker("logs", "--tail", "1", "talk")
    stage.docker("logs", "--timestamps", "talk")
    stage.docker("logs", "--since", "1h", "talk")
    stage.docker("logs", "--until", "1h", "talk")
    stage.docker("logs", "--follow", "talk")
    stage.http("GET", "/containers/talk/logs", status=400)
    stage.http("GET", "/containers/nosuch/logs", status=404, stdout=1)
    stage.docker("rm", "talk")


def files(stage: Stage) -> None:
    stage.docker(
        "create",
        "--name",
        "box",
        "busybox",
        "sh",
        "-c",
        "echo new > /root/made; rm /etc/group; sleep 1000",
    )
    stage.docker("cp", "-", "box:/tmp", given=_tar("given", b"content\n"))
    stage.docker("cp", "box:/tmp/given", "-", shown=False)
    stage.docker("cp", "box:/nosuch", "-", code=1)
    stage.docker("cp", "-", "box:/nosuch", given=_tar("x", b""), code=1)
    stage.http("HEAD", "/containers/box/archive", status=200, path="/tmp/given")
    stage.http("HEAD", "/containers/box/archive", status=404, path="/nosuch")
    stage.http("HEAD", "/containers/box/archive", status=400)
    stage.http("GET", "/containers/nosuch/archive", status=404, path="/")
    stage.docker("start", "box")
    eventually(
        lambda: b"made" in stage.api.call("GET", "/containers/box/changes").body, "it has written"
    )
    stage.docker("diff", "box", ordered=False)
    stage.http("GET", "/containers/box/changes", status=200)
    exported = stage.api.call("GET", "/containers/box/export").body
    with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
        assert "root/made" in archive.getnames()
    stage.docker("export", "nosuch", code=1)
    stage.docker("rm", "-f", "box")
    stage.events()


def resources(stage: Stage) -> None:
    stage.docker(
        "run", "-d", "--name", "busy", "--memory", "64m", "--cpu-shares", "512", "busybox", *IDLE
    )
    stage.http("GET", "/containers/busy/stats", status=200, stream=0)
    stage.docker("stats", "--no-stream", "--format", "{{.Name}}")
    stage.docker("update", "--cpu-shares", "256", "busy")
    stage.http("POST", "/containers/busy/update", {"Memory": 1}, status=400)
    stage.http("POST", "/containers/nosuch/update", {}, status=404)
    stage.docker("inspect", "--format", "{{.HostConfig.CpuShares}} {{.HostConfig.Memory}}", "busy")
    stage.docker("rm", "-f", "busy")
    stage.events()


def images(stage: Stage) -> None:
    stage.docker(
        "import", "--change", 'CMD ["sh"]', "-", "boxes/one:1", given=_tar("etc/made", b"x")
    )
    stage.docker("tag", "boxes/one:1", "boxes/two:latest")
    stage.docker("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", "boxes/*", ordered=False)
    stage.http("GET", "/images/boxes/one:1/json", status=200)
    stage.http("GET", "/images/json", status=200)
    stage.http("GET", "/images/boxes/one:1/history", status=200)
    stage.docker("history", "--format", "{{.CreatedBy}} {{.Size}} {{.Comment}}", "boxes/one:1")
    stage.docker("create", "--name", "user", "boxes/two", "sh")
    stage.docker("rmi", "boxes/one:1")
    stage.docker("rmi", "boxes/two", code=1)
    stage.docker("rm", "user")
    stage.docker("rmi", "boxes/two")
    stage.docker("rmi", "boxes/two", code=1)
    stage.http("GET", "/images/nosuch/json", status=404)
    stage.http("GET", "/images/nosuch/history", status=404)
    stage.http("POST", "/images/nosuch/tag", status=404, repo="x")
    stage.docker("inspect", "--type", "image", "nosuch", code=1)
    stage.events()


def what_there_is_not(stage: Stage) -> None:
    for verb in ("start", "stop", "kill", "restart", "pause", "unpause", "wait", "resize"):
        stage.http("POST", f"/containers/nosuch/{verb}", status=404, h=1, w=1)
    for path in ("json", "top", "stats", "changes", "export"):
        stage.http("GET", f"/containers/nosuch/{path}", status=404)
    stage.http("DELETE", "/containers/nosuch", status=404)
    stage.http("GET", "/nosuch", status=404)
    stage.http("GET", "/networks/nosuch", status=404)
    stage.http("GET", "/volumes/nosuch", status=404)


def creations_refused(stage: Stage) -> None:
    def create(status: int, **body: object) -> None:
        stage.http(
            "POST",
            "/containers/create",
            {"Image": "busybox", "Cmd": ["true"], **body},
            status=status,
        )

    stage.http("POST", "/containers/create", {"Image": "nosuch"}, status=404)
    stage.http("POST", "/containers/create", {"Image": "busybox"}, status=400, name="a b")
    create(400, Image="BAD:")
    create(400, Env=["=x"])
    create(400, WorkingDir="relative")
    create(400, HostConfig={"Memory": 4096})
    create(400, HostConfig={"RestartPolicy": {"Name": "sometimes"}})
    create(400, HostConfig={"AutoRemove": True, "RestartPolicy": {"Name": "always"}})
    create(400, HostConfig={"CapAdd": ["NOPE"]})
    stage.http("POST", "/containers/create", b"{", status=400)
    stage.http("GET", "/containers/json", status=400, filters='{"nosuch":["x"]}')
    stage.http("GET", "/v1.10/containers/json", status=400)
    stage.http("GET", "/v9.99/containers/json", status=400)


def lists_and_filters(stage: Stage) -> None:
    stage.docker("create", "--name", "one", "--label", "a=1", "busybox", "true")
    stage.docker("run", "--name", "two", "--label", "a=2", "busybox", "sh", "-c", "exit 5", code=5)
    stage.docker(
        "run", "-d", "--name", "three", "--label", "b", "-p", "127.0.0.1::80", "busybox", *IDLE
    )
    for wanted in (
        "status=created", "status=exited", "status=running", "exited=5", "label=a", "label=a=1", "label=b", "name=t", "name=^/one$",
        "before=two", "since=two", "ancestor=busybox", "ancestor=nosuch", "network=bridge", "volume=/x", "expose=80/tcp", "publish=80", "health=none", "is-task=false",
    ):  # fmt: skip
        stage.docker("ps", "-a", "--filter", wanted, "--format", "{{.Names}}")
    stage.docker("ps", "-a", "--filter", "status=odd", code=1)
    stage.docker("ps", "-n", "1", "--format", "{{.Names}}")
    stage.docker("ps", "-a", "--size", "--format", "{{.Names}} {{.Size}}")
    stage.docker("port", "one")
    stage.docker("port", "three", "80/udp", code=1)
    stage.docker("inspect", "--format", "{{json .NetworkSettings.Ports}}", "two")
    stage.docker("rm", "-f", "three")
    stage.docker("container", "prune", "-f", "--filter", "label=a=1")
    stage.docker("container", "prune", "-f", shown=False)
    stage.events()


def systems(stage: Stage) -> None:
    stage.http("GET", "/_ping", status=200)
    stage.http("HEAD", "/_ping", status=200)
    stage.http("GET", "/info", status=200)
    stage.http("GET", "/version", status=200)
    stage.http("GET", "/system/df", status=200)
    stage.http("GET", "/networks", status=200)
    stage.http("GET", "/networks/bridge", status=200)
    stage.http("GET", "/volumes", status=200)
    stage.http("GET", "/plugins", status=200)
    for path in ("/swarm", "/services", "/tasks", "/nodes", "/secrets", "/configs"):
        stage.http("GET", path, status=503)
    stage.docker("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}")
    stage.docker("volume", "ls")


def _tar(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


SESSIONS: Final[tuple[Session, ...]] = (
    run_and_its_exit_codes,
    life_of_a_container,
    execs,
    logs,
    files,
    resources,
    images,
    what_there_is_not,
    creations_refused,
    lists_and_filters,
    systems,
)
