"""Define sessions of users and programs with an engine, as scripts; each checks for itself the
required outcome of a step.
"""

import io
import tarfile
from typing import Final

from tests.conformance.session_recorder import Session, SessionRecorder
from tests.harness.conditions import eventually

IDLE: Final = ("sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done")


def run_and_its_exit_codes(recorder: SessionRecorder) -> None:
    recorder.docker("run", "--rm", "--name", "aa", "busybox", "echo", "hello")
    recorder.docker(
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
    recorder.docker("run", "--rm", "--name", "cc", "-i", "busybox", "cat", given=b"through\n")
    recorder.docker("run", "--rm", "--name", "dd", "busybox", "/nosuch", code=127, shown=False)
    recorder.docker("run", "--rm", "--name", "ee", "busybox", "/etc", code=126, shown=False)
    recorder.docker(
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
    recorder.docker("run", "-d", "--name", "web", "--label", "tier=front", "busybox", *IDLE)
    recorder.docker("run", "--name", "web", "busybox", "true", code=125)
    recorder.docker("ps", "--format", "{{.Names}} {{.Image}} {{.Status}} {{.Command}} {{.Ports}}")
    recorder.docker("ps")
    recorder.docker("rm", "-f", "web")
    recorder.events()


def life_of_a_container(recorder: SessionRecorder) -> None:
    recorder.docker("create", "--name", "web", "busybox", *IDLE)
    recorder.http("GET", "/containers/web/json", status=200)
    recorder.http("GET", "/containers/json", status=200, all=1)
    recorder.docker("start", "web")
    recorder.http("POST", "/containers/web/start", status=304)
    recorder.http("GET", "/containers/web/json", status=200)
    recorder.http("GET", "/containers/json", status=200)
    recorder.docker("pause", "web")
    recorder.docker("pause", "web", code=1)
    recorder.docker("exec", "web", "true", code=1)
    recorder.docker("ps", "--filter", "status=paused", "--format", "{{.Names}}: {{.Status}}")
    recorder.docker("unpause", "web")
    recorder.docker("unpause", "web", code=1)
    recorder.docker("rename", "web", "site")
    recorder.docker("rm", "site", code=1)
    recorder.docker("stop", "-t", "5", "site")
    recorder.http("POST", "/containers/site/stop", status=304)
    recorder.docker("wait", "site")
    recorder.http("GET", "/containers/site/json", status=200)
    recorder.docker("start", "site")
    recorder.docker("restart", "-t", "1", "site")
    recorder.docker("kill", "-s", "KILL", "site")
    recorder.docker("wait", "site")
    recorder.docker("ps", "-a", "--format", "{{.Names}}: {{.Status}}")
    recorder.docker("kill", "site", code=1)
    recorder.docker("rm", "site")
    recorder.docker("rm", "site", code=1)
    recorder.events()


def execs(recorder: SessionRecorder) -> None:
    recorder.docker("run", "-d", "--name", "web", "busybox", *IDLE)
    recorder.docker("exec", "web", "echo", "inside")
    recorder.docker("exec", "-i", "web", "cat", given=b"through\n")
    recorder.docker(
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
    made = recorder.http(
        "POST", "/containers/web/exec", {"Cmd": ["true"], "AttachStdout": True}, status=201
    ).json["Id"]
    recorder.http("GET", f"/exec/{made}/json", status=200)
    recorder.http("POST", f"/exec/{made}/start", {"Detach": True}, status=200)
    eventually(lambda: not recorder.api.get(f"/exec/{made}/json")["Running"], "the exec ends")
    recorder.http("GET", f"/exec/{made}/json", status=200)
    recorder.http("POST", f"/exec/{made}/start", {"Detach": True}, status=409)
    recorder.http("POST", "/containers/web/exec", {"Cmd": []}, status=400)
    recorder.http("POST", "/containers/nosuch/exec", {"Cmd": ["true"]}, status=404)
    recorder.http("GET", "/exec/nosuch/json", status=404)
    recorder.docker("top", "web", "-o", "pid,args", shown=False)
    recorder.docker("rm", "-f", "web")
    recorder.docker("create", "--name", "still", "busybox", "true")
    recorder.http("POST", "/containers/still/exec", {"Cmd": ["true"]}, status=409)
    recorder.http("GET", "/containers/still/top", status=409)
    recorder.docker("rm", "still")
    recorder.events()


def logs(recorder: SessionRecorder) -> None:
    recorder.docker(
        "run", "--name", "talk", "busybox", "sh", "-c", "echo one; echo two; echo three"
    )
    recorder.docker("logs", "talk")
    recorder.docker("logs", "--tail", "1", "talk")
    recorder.docker("logs", "--timestamps", "talk")
    recorder.docker("logs", "--since", "1h", "talk")
    recorder.docker("logs", "--until", "1h", "talk")
    recorder.docker("logs", "--follow", "talk")
    recorder.http("GET", "/containers/talk/logs", status=400)
    recorder.http("GET", "/containers/nosuch/logs", status=404, stdout=1)
    recorder.docker("rm", "talk")


def files(recorder: SessionRecorder) -> None:
    recorder.docker(
        "create",
        "--name",
        "box",
        "busybox",
        "sh",
        "-c",
        "echo new > /root/made; rm /etc/group; sleep 1000",
    )
    recorder.docker("cp", "-", "box:/tmp", given=_tar("given", b"content\n"))
    recorder.docker("cp", "box:/tmp/given", "-", shown=False)
    recorder.docker("cp", "box:/nosuch", "-", code=1)
    recorder.docker("cp", "-", "box:/nosuch", given=_tar("x", b""), code=1)
    recorder.http("HEAD", "/containers/box/archive", status=200, path="/tmp/given")
    recorder.http("HEAD", "/containers/box/archive", status=404, path="/nosuch")
    recorder.http("HEAD", "/containers/box/archive", status=400)
    recorder.http("GET", "/containers/nosuch/archive", status=404, path="/")
    recorder.docker("start", "box")
    eventually(
        lambda: b"made" in recorder.api.call("GET", "/containers/box/changes").body,
        "it has written",
    )
    recorder.docker("diff", "box", ordered=False)
    recorder.http("GET", "/containers/box/changes", status=200)
    exported = recorder.api.call("GET", "/containers/box/export").body
    with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
        assert "root/made" in archive.getnames()
    recorder.docker("export", "nosuch", code=1)
    recorder.docker("rm", "-f", "box")
    recorder.events()


def resources(recorder: SessionRecorder) -> None:
    recorder.docker(
        "run", "-d", "--name", "busy", "--memory", "64m", "--cpu-shares", "512", "busybox", *IDLE
    )
    recorder.http("GET", "/containers/busy/stats", status=200, stream=0)
    recorder.docker("stats", "--no-stream", "--format", "{{.Name}}")
    recorder.docker("update", "--cpu-shares", "256", "busy")
    recorder.http("POST", "/containers/busy/update", {"Memory": 1}, status=400)
    recorder.http("POST", "/containers/nosuch/update", {}, status=404)
    recorder.docker(
        "inspect", "--format", "{{.HostConfig.CpuShares}} {{.HostConfig.Memory}}", "busy"
    )
    recorder.docker("rm", "-f", "busy")
    recorder.events()


def images(recorder: SessionRecorder) -> None:
    recorder.docker(
        "import", "--change", 'CMD ["sh"]', "-", "boxes/one:1", given=_tar("etc/made", b"x")
    )
    recorder.docker("tag", "boxes/one:1", "boxes/two:latest")
    recorder.docker(
        "images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", "boxes/*", ordered=False
    )
    recorder.http("GET", "/images/boxes/one:1/json", status=200)
    recorder.http("GET", "/images/json", status=200)
    recorder.http("GET", "/images/boxes/one:1/history", status=200)
    recorder.docker("history", "--format", "{{.CreatedBy}} {{.Size}} {{.Comment}}", "boxes/one:1")
    recorder.docker("create", "--name", "user", "boxes/two", "sh")
    recorder.docker("rmi", "boxes/one:1")
    recorder.docker("rmi", "boxes/two", code=1)
    recorder.docker("rm", "user")
    recorder.docker("rmi", "boxes/two")
    recorder.docker("rmi", "boxes/two", code=1)
    recorder.http("GET", "/images/nosuch/json", status=404)
    recorder.http("GET", "/images/nosuch/history", status=404)
    recorder.http("POST", "/images/nosuch/tag", status=404, repo="x")
    recorder.docker("inspect", "--type", "image", "nosuch", code=1)
    recorder.events()


def what_there_is_not(recorder: SessionRecorder) -> None:
    for verb in ("start", "stop", "kill", "restart", "pause", "unpause", "wait", "resize"):
        recorder.http("POST", f"/containers/nosuch/{verb}", status=404, h=1, w=1)
    for path in ("json", "top", "stats", "changes", "export"):
        recorder.http("GET", f"/containers/nosuch/{path}", status=404)
    recorder.http("DELETE", "/containers/nosuch", status=404)
    recorder.http("GET", "/nosuch", status=404)
    recorder.http("GET", "/networks/nosuch", status=404)
    recorder.http("GET", "/volumes/nosuch", status=404)


def creations_refused(recorder: SessionRecorder) -> None:
    def create(status: int, **body: object) -> None:
        recorder.http(
            "POST",
            "/containers/create",
            {"Image": "busybox", "Cmd": ["true"], **body},
            status=status,
        )

    recorder.http("POST", "/containers/create", {"Image": "nosuch"}, status=404)
    recorder.http("POST", "/containers/create", {"Image": "busybox"}, status=400, name="a b")
    create(400, Image="BAD:")
    create(400, Env=["=x"])
    create(400, WorkingDir="relative")
    create(400, HostConfig={"Memory": 4096})
    create(400, HostConfig={"RestartPolicy": {"Name": "sometimes"}})
    create(400, HostConfig={"AutoRemove": True, "RestartPolicy": {"Name": "always"}})
    create(400, HostConfig={"CapAdd": ["NOPE"]})
    recorder.http("POST", "/containers/create", b"{", status=400)
    recorder.http("GET", "/containers/json", status=400, filters='{"nosuch":["x"]}')
    recorder.http("GET", "/v1.10/containers/json", status=400)
    recorder.http("GET", "/v9.99/containers/json", status=400)


def lists_and_filters(recorder: SessionRecorder) -> None:
    recorder.docker("create", "--name", "one", "--label", "a=1", "busybox", "true")
    recorder.docker(
        "run", "--name", "two", "--label", "a=2", "busybox", "sh", "-c", "exit 5", code=5
    )
    recorder.docker(
        "run", "-d", "--name", "three", "--label", "b", "-p", "127.0.0.1::80", "busybox", *IDLE
    )
    for wanted in (
        "status=created", "status=exited", "status=running", "exited=5", "label=a", "label=a=1", "label=b", "name=t", "name=^/one$",
        "before=two", "since=two", "ancestor=busybox", "ancestor=nosuch", "network=bridge", "volume=/x", "expose=80/tcp", "publish=80", "health=none", "is-task=false",
    ):  # fmt: skip
        recorder.docker("ps", "-a", "--filter", wanted, "--format", "{{.Names}}")
    recorder.docker("ps", "-a", "--filter", "status=odd", code=1)
    recorder.docker("ps", "-n", "1", "--format", "{{.Names}}")
    recorder.docker("ps", "-a", "--size", "--format", "{{.Names}} {{.Size}}")
    recorder.docker("port", "one")
    recorder.docker("port", "three", "80/udp", code=1)
    recorder.docker("inspect", "--format", "{{json .NetworkSettings.Ports}}", "two")
    recorder.docker("rm", "-f", "three")
    recorder.docker("container", "prune", "-f", "--filter", "label=a=1")
    recorder.docker("container", "prune", "-f", shown=False)
    recorder.events()


def systems(recorder: SessionRecorder) -> None:
    recorder.http("GET", "/_ping", status=200)
    recorder.http("HEAD", "/_ping", status=200)
    recorder.http("GET", "/info", status=200)
    recorder.http("GET", "/version", status=200)
    recorder.http("GET", "/system/df", status=200)
    recorder.http("GET", "/networks", status=200)
    recorder.http("GET", "/networks/bridge", status=200)
    recorder.http("GET", "/volumes", status=200)
    recorder.http("GET", "/plugins", status=200)
    for path in ("/swarm", "/services", "/tasks", "/nodes", "/secrets", "/configs"):
        recorder.http("GET", path, status=503)
    recorder.docker("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}")
    recorder.docker("volume", "ls")


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
