"""Answer the port for standard streams."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import trio

from engine.domain import naming
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, ExecId
from engine.drivers.cgroups.cgroup_parents import Cgroups
from engine.drivers.lanes import Lane, Lanes
from engine.drivers.logs.follow import read_log
from engine.drivers.logs.query import LogReader
from engine.drivers.logs.replay import Barrier, Replay
from engine.drivers.runs.connections import Connections
from engine.drivers.runs.monitors import Monitors
from engine.ports.streams import Client, LogOptions, StreamOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class LinuxStreams:
    """The port for streams: attach, resize, logs, pids of containers."""

    data_root: Path
    lanes: Lanes
    monitors: Monitors
    connections: Connections
    cgroups: Cgroups

    async def attach(
        self, container: Container, attach: str, options: StreamOptions, client: Client
    ) -> None:
        """Connect a client to a container, at once or when it starts."""
        await self.connections.attach(container, attach, options, client)

    async def attach_after_log(
        self,
        container: Container,
        current: Callable[[], Container | None],
        attach: str,
        options: StreamOptions,
        client: Client,
        past: LogOptions,
    ) -> None:
        """Send the log to the client, then connect it to the output after the log's last byte."""
        reader = LogReader(
            naming.log_path(self.data_root, container.id), _unframed_for_terminal(past, container)
        )
        next_block = partial(self.lanes.run, Lane.LOGS)
        try:
            replay = Replay(reader, client, lambda each: next_block(lambda: next(each, None)))
            with closing(replay):
                await replay.send_present()
                now = current()
                if now is not None and now.is_running:
                    with Barrier() as barrier:
                        await self.connections.attach_behind_barrier(
                            now, attach, options, client, barrier.fd
                        )
                        await replay.send_present()
                        barrier.open()
        except BaseException:
            client.connection.close()
            raise
        if now is None or now.is_running:
            client.connection.close()  # neither the monitor nor a later start has taken a copy
        else:
            await self.connections.attach(now, attach, options, client)

    def offer_exec(self, execution: ExecId, options: StreamOptions, client: Client | None) -> None:
        """Keep a client's connection until its exec is started."""
        self.connections.offer_exec(execution, options, client)

    def withdraw_exec(self, execution: ExecId) -> None:
        """Close the connection of an exec that will not be started."""
        self.connections.withdraw_exec(execution)

    async def resize(
        self, container: Container, execution: ExecId | None, *, height: int, width: int
    ) -> None:
        """Set the size of a container's or an exec's terminal."""
        await self.monitors.resize(container.id, execution, height=height, width=width)

    async def logs(
        self, container: Container, options: LogOptions, ended: trio.Event | None
    ) -> AsyncGenerator[bytes, None]:
        """Yield a container's output in blocks. With ``ended``, follow it until that event is
        set.
        """
        path = naming.log_path(self.data_root, container.id)
        if not path.parent.exists() or not container.spec.log.is_kept:
            return
        options = _unframed_for_terminal(options, container)
        next_block = partial(self.lanes.run, Lane.LOGS)
        blocks = read_log(
            path, options, ended=ended, next_block=lambda each: next_block(lambda: next(each, None))
        )
        async with aclosing(blocks):  # or its descriptors stay open until garbage collection
            async for block in blocks:
                yield block

    async def processes(self, container: Container) -> tuple[int, ...]:
        """Return the pids, on the host, of all processes of a container."""
        found = await self.lanes.run(
            Lane.OBSERVE, partial(self.cgroups.of(container).pids, container.id)
        )
        return tuple(sorted(found))

    def forget(self, container: ContainerId) -> None:
        """Close connections that wait for a start which will not come."""
        self.connections.forget(container)


def _unframed_for_terminal(options: LogOptions, container: Container) -> LogOptions:
    """Ask for a log without frames if the container has a terminal."""
    return replace(options, raw=options.raw or container.spec.tty)
