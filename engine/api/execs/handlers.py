"""Handle create, start, resize and inspect of execs."""

import socket
from contextlib import suppress
from functools import partial
from typing import Final, NotRequired, TypedDict

from engine.api.answers import Identity
from engine.api.containers.spec.body import Dimension, Words, words
from engine.api.http.json_bodies import Json, Wire, read_json
from engine.api.http.operations import Operation
from engine.api.http.replies import Answer, Hijacked, Reply, json_answer
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.api.http.stream_types import SIZE_QUERY, STREAM, stream_media_type, terminal_size
from engine.domain.container.detach_keys import parse_detach_keys
from engine.domain.event import Origin
from engine.domain.exec.state import Exec, ExecPhase, ExecSpec
from engine.domain.ids import ExecId
from engine.errors import EngineError, InvalidRequest
from engine.ports.streams import Client, StreamOptions
from engine.service.engine import Service

_DETACHED: Final = StreamOptions()


class ExecCreateWire(Wire, frozen=True, kw_only=True):
    """Docker's ExecConfig."""

    attach_stderr: bool | None = None
    attach_stdin: bool | None = None
    attach_stdout: bool | None = None
    cmd: Words | None = None
    console_size: tuple[Dimension, Dimension] | None = None
    detach_keys: str | None = None
    env: list[str] | None = None
    privileged: bool | None = None
    tty: bool | None = None
    user: str | None = None
    working_dir: str | None = None


class ExecStartWire(Wire, frozen=True, kw_only=True):
    """Docker's ExecStartConfig."""

    console_size: tuple[Dimension, Dimension] | None = None
    detach: bool | None = None
    tty: bool | None = None


class ExecProcess(TypedDict):
    """What an exec's process executes, and as which user."""

    tty: bool
    entrypoint: str
    arguments: list[str]
    privileged: bool
    user: NotRequired[str]


class ExecInspect(TypedDict):
    """An exec, and how it has ended."""

    ID: str
    Running: bool
    ExitCode: int | None
    ProcessConfig: ExecProcess
    OpenStdin: bool
    OpenStderr: bool
    OpenStdout: bool
    CanRemove: bool
    ContainerID: str
    DetachKeys: str
    Pid: int


class ExecHandlers:
    """Handles execs: additional processes in containers."""

    def __init__(self, service: Service) -> None:
        self._execs = service.execs

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of these handlers."""
        return (
            Route(
                "POST",
                "/containers/{name}/exec",
                self.create,
                Operation(
                    summary="Create one more process in a container.",
                    body=ExecCreateWire,
                    answers={201: Identity},
                    refusals=(404, 409),
                ),
            ),
            Route(
                "POST",
                "/exec/{id}/start",
                self.start,
                Operation(
                    summary="Start a process that was created.",
                    body=ExecStartWire,
                    answers={200: STREAM, 101: STREAM},
                    refusals=(404, 409),
                ),
            ),
            Route(
                "POST",
                "/exec/{id}/resize",
                self.resize,
                Operation(
                    summary="Change the size of a process's terminal.",
                    query=(*SIZE_QUERY,),
                    answers={200: None},
                    refusals=(404, 409),
                ),
            ),
            Route(
                "GET",
                "/exec/{id}/json",
                self.inspect,
                Operation(
                    summary="Inspect a process that was created.",
                    answers={200: ExecInspect},
                    refusals=(404,),
                ),
            ),
        )

    async def create(self, request: Request) -> Reply:
        """Handle the first half of ``docker exec``."""
        asked = await read_json(request, ExecCreateWire)
        arguments = words(asked.cmd)
        if not arguments:
            raise InvalidRequest("no exec command specified")
        parse_detach_keys(asked.detach_keys or "")
        spec = ExecSpec(
            arguments=arguments,
            env=tuple(asked.env or ()),
            user=asked.user or "",
            working_dir=asked.working_dir or "",
            tty=bool(asked.tty),
            console_size=asked.console_size or (0, 0),
            attach_stdin=bool(asked.attach_stdin),
            attach_stdout=bool(asked.attach_stdout),
            attach_stderr=bool(asked.attach_stderr),
            privileged=bool(asked.privileged),
            detach_keys=asked.detach_keys or "",
        )
        identity = await self._execs.create(request.params["name"], spec, request.origin)
        return json_answer({"Id": identity}, 201)

    async def start(self, request: Request) -> Reply:
        """Handle the second half of ``docker exec``: with the client's connection, or detached."""
        asked = await read_json(request, ExecStartWire)
        found = await self._execs.check_startable(request.params["id"])
        if not asked.detach:
            take = partial(self._converse, found, asked.console_size, request.origin)
            return Hijacked(take, stream_media_type(request, tty=found.spec.tty))
        started = await self._execs.start(found.id, _DETACHED, None, request.origin)
        if started.error:
            raise InvalidRequest(_refusal(started.error))
        await self._size(found, asked.console_size)
        return Answer(200)

    async def _converse(
        self,
        execution: Exec,
        size: tuple[int, int] | None,
        origin: Origin,
        connection: socket.socket,
        unread: bytes,
    ) -> None:
        """Start the exec with the client's connection. If it can't be started, whoever has the
        connection then says so on the stream.
        """
        spec = execution.spec
        options = StreamOptions(
            stdin=spec.attach_stdin,
            stdout=spec.attach_stdout,
            stderr=spec.attach_stderr,
            detach_keys=spec.detach_keys,
        )
        client = Client(connection=connection, unread=unread)
        started = await self._execs.start(execution.id, options, client, origin)
        if not started.error:
            await self._size(execution, size)

    async def _size(self, execution: Exec, size: tuple[int, int] | None) -> None:
        """Set the size that was requested with the start, unless the process has ended by now."""
        if size is None or not execution.spec.tty:
            return
        height, width = size
        with suppress(EngineError):
            await self._execs.resize(execution.id, height=height, width=width)

    async def resize(self, request: Request) -> Reply:
        """Handle a new size of the exec's terminal."""
        height, width = terminal_size(request)
        await self._execs.resize(request.params["id"], height=height, width=width)
        return Answer(200)

    async def inspect(self, request: Request) -> Reply:
        """Handle an inspection of an exec."""
        return json_answer(_exec_json(await self._execs.caught_up(ExecId(request.params["id"]))))


def _refusal(message: str) -> str:
    """Return the whole message that Docker shows: a missing user is found before anything is
    executed.
    """
    if message.startswith("unable to find"):
        return message
    return f"OCI runtime exec failed: exec failed: unable to start container process: {message}: unknown"


def _exec_json(execution: Exec) -> Json:
    spec = execution.spec
    running = execution.phase is ExecPhase.RUNNING
    process: Json = {
        "tty": spec.tty,
        "entrypoint": spec.arguments[0],
        "arguments": spec.arguments[1:],
        "privileged": spec.privileged,
    }
    if spec.user:
        process["user"] = spec.user
    return {
        "ID": execution.id,
        "Running": running,
        "ExitCode": execution.exit_code,
        "ProcessConfig": process,
        "OpenStdin": spec.attach_stdin,
        "OpenStderr": spec.attach_stderr,
        "OpenStdout": spec.attach_stdout,
        "CanRemove": False,
        "ContainerID": execution.container,
        "DetachKeys": spec.detach_keys,
        "Pid": execution.process.pid if running and execution.process else 0,
    }
