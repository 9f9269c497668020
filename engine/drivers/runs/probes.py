"""Answer the port for health checks, through the container's monitor."""

import socket
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
import trio

from engine.domain.container.state import Container
from engine.domain.exec.oci import exec_process
from engine.domain.exec.state import ExecSpec
from engine.drivers.lanes import Lanes
from engine.drivers.runs.bundle_maker import BundleMaker
from engine.drivers.runs.monitors import REQUEST_TIMEOUT_S, Monitors
from engine.errors import DriverError
from engine.ports.probes import ProbeAnswer
from engine.runtime.messages import ProbeOrder

KILL_PATIENCE_S: Final = 5.0
"""How long a killed probe may take to end; one that is stuck in the kernel is not waited for."""
_ANSWER_BYTES_MAX: Final = 16 << 10
"""The output in hexadecimal digits, and the rest of the message."""


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The message that ``runtime/probes.py`` sends."""

    code: int = 0
    output: str = ""
    truncated: bool = False
    error: str | None = None

    @property
    def text(self) -> str:
        answer = bytes.fromhex(self.output).decode(errors="replace")
        return f"{answer}..." if self.truncated else answer


_decode: Final = msgspec.json.Decoder(_Answer).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorProbes:
    """The port for health checks: runs them through monitors."""

    monitors: Monitors
    bundles: BundleMaker
    lanes: Lanes

    async def probe(
        self, container: Container, arguments: tuple[str, ...], timeout_s: float
    ) -> ProbeAnswer | None:
        """Run a command inside a container; the monitor ends it at the latest when the socket is
        closed here.
        """
        filtered = partial(self.bundles.seccomp_program, container)
        program = await self.lanes.run_for(container.id, filtered)
        order = ProbeOrder(
            process=exec_process(container, ExecSpec(arguments=arguments)),  # type: ignore[arg-type]  # JSON on its way out
            seccomp_path=str(program) if program else None,
        )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with trio.socket.from_stdlib_socket(ours) as answer, theirs:
            try:
                with trio.move_on_after(max(timeout_s, REQUEST_TIMEOUT_S)) as started:
                    await self.monitors.start_probe(container.id, order, theirs)
            except DriverError:
                if self.monitors.is_alive(container.id):
                    raise
                return None
            if started.cancelled_caught:
                return ProbeAnswer(exit_code=None)
            theirs.close()  # now only the monitor has a copy, so its end closes the socket
            return await _answered(answer, timeout_s)


async def _answered(answer: trio.socket.SocketType, timeout_s: float) -> ProbeAnswer | None:
    with trio.move_on_after(timeout_s):
        return _answer_in(await answer.recv(_ANSWER_BYTES_MAX))
    answer.shutdown(socket.SHUT_WR)  # the monitor kills the process, and sends its output
    output = ""
    with trio.move_on_after(KILL_PATIENCE_S):
        last_packet = await answer.recv(_ANSWER_BYTES_MAX)
        if not last_packet:
            return None
        output = _decode(last_packet).text
    return ProbeAnswer(exit_code=None, output=output)


def _answer_in(packet: bytes) -> ProbeAnswer | None:
    if not packet:
        return None
    answer = _decode(packet)
    if answer.error is not None:
        raise DriverError(
            "OCI runtime exec failed: exec failed: unable to start container process: "
            f"{answer.error}: unknown"
        )
    return ProbeAnswer(exit_code=answer.code, output=answer.text)
