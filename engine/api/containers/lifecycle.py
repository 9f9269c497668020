"""Handle start, stop, restart, kill, pause, unpause and wait."""

from typing import Final, NotRequired, TypedDict

from engine.api.http.json_bodies import Json
from engine.api.http.operations import Lines, Operation, integer, text
from engine.api.http.replies import JSON, NO_CONTENT, Reply, Sink, Streamed, json_line
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.domain.signals import parse_signal
from engine.errors import EngineError, InvalidRequest
from engine.service.containers.waits import WaitCondition, Waiting
from engine.service.engine import Service

_ENDING: Final = (
    text("signal", "What asks it to end, if not its own stop signal."),
    integer("t", "Seconds until it is killed, if not its own."),
)


class WaitError(TypedDict):
    """Why a start has failed."""

    Message: str


class WaitResult(TypedDict):
    """How a container has ended."""

    StatusCode: int
    Error: NotRequired[WaitError]


class LifecycleHandlers:
    """Handles what moves a container from phase to phase, and waits for it."""

    def __init__(self, service: Service) -> None:
        self._containers = service.containers

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of these handlers."""
        return (
            Route(
                "POST",
                "/containers/{name}/start",
                self.start,
                Operation(
                    summary="Start a container.",
                    query=(
                        text("detachKeys"),
                        text("checkpoint", "Always refused."),
                    ),
                    answers={204: None, 304: None},
                    refusals=(403, 404, 409),
                ),
            ),
            Route(
                "POST",
                "/containers/{name}/stop",
                self.stop,
                Operation(
                    summary="Stop a container.",
                    query=(*_ENDING,),
                    answers={204: None, 304: None},
                    refusals=(404, 409),
                ),
            ),
            Route(
                "POST",
                "/containers/{name}/restart",
                self.restart,
                Operation(
                    summary="Restart a container.",
                    query=(*_ENDING,),
                    answers={204: None},
                    refusals=(403, 404, 409),
                ),
            ),
            Route(
                "POST",
                "/containers/{name}/kill",
                self.kill,
                Operation(
                    summary="Send a signal to a container.",
                    query=(text("signal", "SIGKILL if absent."),),
                    answers={204: None},
                    refusals=(404, 409),
                ),
            ),
            Route(
                "POST",
                "/containers/{name}/pause",
                self.pause,
                Operation(summary="Freeze a container.", answers={204: None}, refusals=(404, 409)),
            ),
            Route(
                "POST",
                "/containers/{name}/unpause",
                self.unpause,
                Operation(summary="Thaw a container.", answers={204: None}, refusals=(404, 409)),
            ),
            Route(
                "POST",
                "/containers/{name}/wait",
                self.wait,
                Operation(
                    summary="Wait until a container ends or is removed.",
                    query=(text("condition", "not-running, next-exit or removed."),),
                    answers={200: Lines(WaitResult)},
                    refusals=(404,),
                ),
            ),
        )

    async def start(self, request: Request) -> Reply:
        """Handle ``docker start``."""
        if request.query.text("checkpoint"):
            raise InvalidRequest("checkpoint is only supported in experimental mode")
        await self._containers.start(request.params["name"], request.origin)
        return NO_CONTENT

    async def stop(self, request: Request) -> Reply:
        """Handle ``docker stop``."""
        signal, timeout_s = _ending(request)
        await self._containers.stop(
            request.params["name"], request.origin, signal=signal, timeout_s=timeout_s
        )
        return NO_CONTENT

    async def restart(self, request: Request) -> Reply:
        """Handle ``docker restart``."""
        signal, timeout_s = _ending(request)
        await self._containers.restart(
            request.params["name"], request.origin, signal=signal, timeout_s=timeout_s
        )
        return NO_CONTENT

    async def kill(self, request: Request) -> Reply:
        """Handle ``docker kill``."""
        reference = request.params["name"]
        try:
            signal = parse_signal(request.query.text("signal") or "SIGKILL")
            await self._containers.kill(reference, request.origin, signal=signal)
        except EngineError as error:
            raise type(error)(f"cannot kill container: {reference}: {error}") from error
        return NO_CONTENT

    async def pause(self, request: Request) -> Reply:
        """Handle ``docker pause``."""
        await self._containers.pause(request.params["name"], request.origin)
        return NO_CONTENT

    async def unpause(self, request: Request) -> Reply:
        """Handle ``docker unpause``."""
        await self._containers.unpause(request.params["name"], request.origin)
        return NO_CONTENT

    async def wait(self, request: Request) -> Reply:
        """Handle ``docker wait``: the head is sent at once and confirms the wait; the body follows
        when the wait is over.
        """
        condition = request.query.text("condition") or WaitCondition.NOT_RUNNING
        if condition not in set(WaitCondition):
            raise InvalidRequest(f'invalid condition: "{condition}"')
        waiting = self._containers.waiting(request.params["name"], WaitCondition(condition))

        async def produce(send: Sink) -> None:
            await send(json_line(await _result(waiting)))

        return Streamed(produce, JSON)


async def _result(waiting: Waiting) -> Json:
    """Return the exit code, and why a start failed; a wait for the removal gets no error, for the
    removal did not fail.
    """
    code, error = await waiting.result()
    result: Json = {"StatusCode": code}
    if error and waiting.condition is not WaitCondition.REMOVED:
        result["Error"] = {"Message": error}
    return result


def _ending(request: Request) -> tuple[int | None, int | None]:
    """Return the signal and the timeout that were requested for a stop; None is the container's
    own.
    """
    name = request.query.text("signal")
    return parse_signal(name) if name else None, request.query.number("t", call="Atoi")
