"""Wait for a container to end, through a restart of the daemon if needed.

The streams of an attached container come from its monitor and continue when the daemon dies, but
the answer to ``wait`` comes from the daemon. So when that connection breaks, the request is
repeated until a daemon answers it. The exit code of a container that was removed meanwhile
(``--rm``) is in the history.
"""

import json
import time
from typing import Any, Final

from engine.cli.connection import Response
from engine.cli.engine import Engine
from engine.cli.failures import EngineRefused, Failure, Unreachable

PATIENCE_S: Final = 30.0
"""How long a daemon may be away before the client gives up."""
RETRY_S: Final = 0.1
_NOT_FOUND: Final = 404


class Wait:
    """A request for the exit code, and the code once it is answered."""

    def __init__(self, engine: Engine, container: str, condition: str) -> None:
        """Send the request. The head of the answer means that the engine is watching, so a start
        may follow at once.

        ``condition`` is the API's: ``next-exit`` before a start, ``removed`` with ``--rm``,
        ``not-running`` else.
        """
        self._engine = engine
        self._container = container
        self._removed = condition == "removed"
        self._response: Response | None = self._ask(condition)
        self._lost_at_s = 0.0
        self.code: int | None = None

    @property
    def fd(self) -> int | None:
        """The descriptor that becomes readable with the answer or its failure; None while no daemon
        can be asked.
        """
        return self._response.connection.socket.fileno() if self._response is not None else None

    @property
    def has_arrived(self) -> bool:
        """True if the answer came together with its head: then ``fd`` will not become readable for
        it.
        """
        return self._response is not None and bool(self._response.connection.unread)

    def ready(self) -> None:
        """Read the answer that has arrived."""
        assert self._response is not None
        try:
            answer = json.loads(self._response.body() or b"null")
        except (Unreachable, ValueError):
            answer = None
        self._response.connection.close()
        self._response = None
        if answer is None:
            self._lost_at_s = time.monotonic()
            return
        if (error := (answer.get("Error") or {}).get("Message")) is not None:
            raise Failure(f"Error waiting for container: {error}", 125)
        self.code = int(answer["StatusCode"])

    def retry(self) -> None:
        """Repeat the request after a lost answer.

        Raises:
            Unreachable: no daemon for :data:`PATIENCE_S`.
        """
        try:
            self._response = self._ask("removed" if self._removed else "not-running")
        except EngineRefused as refused:
            if refused.status != _NOT_FOUND:
                raise
            self.code = self._from_history()
        except Unreachable:
            if time.monotonic() - self._lost_at_s > PATIENCE_S:
                raise

    def _ask(self, condition: str) -> Response:
        query = {"condition": "" if condition == "not-running" else condition}
        return self._engine.request_apart("POST", f"/containers/{self._container}/wait", query)

    def _from_history(self) -> int:
        query = {"stream_of": self._container, "type": "container_exited"}
        exits: list[Any] = [
            event["data"].get("code") for event in self._engine.stream("/shipslog/history", query)
        ]
        if not exits or exits[-1] is None:
            raise Failure(f"no exit of {self._container} in the history", 125)
        return int(exits[-1])
