"""``shipslogd``: read the configuration, take the lock, open the log, recover, serve; stop on
SIGTERM, leaving containers alone.
"""

import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Final

import structlog
import trio

from engine.api.application import application
from engine.api.http.server import Server
from engine.api.http.sockets import Entrance
from engine.background import Backoff, Loop, forever, until_done
from engine.daemon import config as configuration
from engine.daemon import logs
from engine.daemon.config import Config
from engine.daemon.limits import bound_allocator, raise_descriptor_limit
from engine.daemon.listeners import Listeners, open_listeners
from engine.daemon.lock import lock_data_root
from engine.daemon.networks import ensure_networks
from engine.daemon.notify import notify, watchdog
from engine.daemon.wiring import Daemon, assemble, open_ledger
from engine.domain.event import SUPERVISOR, Origin
from engine.domain.host import DaemonStarted, DaemonStopped, HostInitialised
from engine.domain.ids import InstanceId, SandboxId
from engine.domain.streams import HOST
from engine.drivers.networks.watch import Watch
from engine.drivers.processes.identity import boot_id
from engine.errors import EngineError
from engine.service.images import Images
from engine.store.ledger import Ledger
from engine.store.log import EventLog
from engine.supervisor.supervisor import Supervisor

SWITCH_INTERVAL_S: Final = 0.0005
"""How long a thread may hold the interpreter while others wait: the event loop shares it with the
log's writer."""
CLOSE_TIMEOUT_S: Final = 5.0
LOG_PATIENCE_S: Final = 5.0
"""How long one commit may take during the shutdown."""
LOG_LOOK_S: Final = 0.5
COLLECT_BACKOFF: Final = Backoff(first_s=5.0, max_s=600.0)
"""Each attempt reads every image's config; no request waits for the space."""
_ORIGIN: Final = Origin(actor=SUPERVISOR)

log = structlog.get_logger()


def main() -> None:
    """Run the daemon from its command line."""
    try:
        config = configuration.load(sys.argv[1:])
        logs.configure(config.log_level, config.log_format)
        os.umask(0o022)
        bound_allocator()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        lock_fd = lock_data_root(config.data_root)
        trio.run(serve, config)
        os.close(lock_fd)
    except EngineError as error:
        sys.exit(f"shipslogd: {error}")
    except OSError as error:
        sys.exit(f"shipslogd: {error}")


async def serve(config: Config) -> None:
    """Open the log, start the daemon, serve until a signal, and close."""
    config.exec_root.mkdir(mode=0o711, parents=True, exist_ok=True)
    descriptors = raise_descriptor_limit()
    ledger = open_ledger(config)
    listeners: Listeners | None = None
    try:
        await begin(ledger)
        daemon = assemble(config, ledger, descriptors)
        for problem in daemon.drivers.content.sweep():
            log.warning("content_not_swept", error=problem)
        await daemon.service.commits.let_go_on()
        await ensure_networks(ledger, daemon.drivers.kernel.networks.driver, config)
        listeners = open_listeners(config)
        if config.pidfile is not None:
            config.pidfile.write_text(f"{os.getpid()}\n")
        async with trio.open_nursery() as guard:  # lasts until the log need not answer any more
            stopping = trio.Event()
            guard.start_soon(give_up_on_log, ledger.log, stopping)
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                await run(daemon, listeners.entrances, signals, stopping)
            await end(ledger)
            guard.cancel_scope.cancel()
    finally:
        ledger.log.close()
        if listeners is not None:
            listeners.remove_sockets()
        if config.pidfile is not None:
            config.pidfile.unlink(missing_ok=True)


async def begin(ledger: Ledger) -> None:
    """Record that a daemon serves this data root from now on."""
    if ledger.durable.is_new:
        initialised = HostInitialised(instance=InstanceId(os.urandom(16).hex()))
        await ledger.record(_ORIGIN, (HOST, (initialised,)))
    started = DaemonStarted(version=version("shipslog"), pid=os.getpid(), boot_id=boot_id())
    await ledger.record(_ORIGIN, (HOST, (started,)), essential=True)


async def end(ledger: Ledger) -> None:
    """Have the log say that no daemon serves this data root any more."""
    try:
        await ledger.record(_ORIGIN, (HOST, (DaemonStopped(),)), essential=True)
    except EngineError as error:
        log.warning("stop_not_recorded", error=str(error))


async def give_up_on_log(event_log: EventLog, stopping: trio.Event) -> None:
    """Abandon the log if it hangs while the daemon stops: who waits for it can't be cancelled."""
    await stopping.wait()
    while not event_log.is_hanging(LOG_PATIENCE_S):  # noqa: ASYNC110  (no event: it is time that counts)
        await trio.sleep(LOG_LOOK_S)
    log.error("event_log_hangs", path=str(event_log.path))
    event_log.abandon()


async def run(
    daemon: Daemon,
    entrances: Sequence[Entrance],
    signals: AsyncIterator[int],
    stopping: trio.Event,
) -> None:
    """Run the background, then the API; end them the other way round."""
    async with trio.open_nursery() as background:  # outlives every request
        await start_background(daemon, background)
        server = Server(application(daemon.service))
        gc.freeze()  # what is here by now stays: the collector need not look at it again
        async with trio.open_nursery() as serving:
            await serving.start(server.serve, entrances)
            await notify("READY=1")
            log.info("daemon_ready", pid=os.getpid())
            async for _ in signals:
                break
            stopping.set()
            await notify("STOPPING=1")
            server.stop()
        with trio.move_on_after(CLOSE_TIMEOUT_S), suppress(EngineError):
            await daemon.drivers.kernel.networks.pool.empty()
        background.cancel_scope.cancel()  # stops watching containers, not the containers
    daemon.drivers.kernel.connections.close()
    daemon.drivers.kernel.close()
    daemon.drivers.launcher.close()


async def start_background(daemon: Daemon, background: trio.Nursery) -> None:
    """Start everything that runs beside requests, in the order in which one needs the other."""
    kernel = daemon.drivers.kernel
    background.start_soon(kernel.monitors.run)
    await kernel.monitors.find()
    await kernel.networks.forget_strays(_sandboxes(daemon.ledger))
    await background.start(kernel.networks.names.run)
    await kernel.networks.set_all_names(daemon.ledger.durable.containers.values())
    background.start_soon(daemon.drivers.launcher.keep_alive)
    background.start_soon(watch_network, daemon.supervisor)
    await background.start(daemon.supervisor.run)
    background.start_soon(kernel.networks.pool.run)
    background.start_soon(kernel.trash.run)
    background.start_soon(watchdog)
    background.start_soon(collect_images, daemon.service.images)


async def collect_images(images: Images) -> None:
    """Delete, once, the content that removed images had kept for containers which are gone."""
    await until_done(Loop.IMAGE_COLLECTOR, images.collect, COLLECT_BACKOFF)


async def watch_network(supervisor: Supervisor) -> None:
    """Start a sweep when the kernel reports a change of links, addresses or firewall rules.

    Until cancelled.
    """

    async def listen() -> None:
        with Watch() as watch:
            supervisor.wake_sweep()  # changes from before were missed
            while True:
                await trio.lowlevel.wait_readable(watch.fileno())
                if watch.drain():
                    supervisor.wake_sweep()

    await forever(Loop.NETWORK_WATCH, listen)


def _sandboxes(ledger: Ledger) -> tuple[SandboxId, ...]:
    containers = ledger.durable.containers.values()
    known = (
        each for container in containers for each in (container.sandbox, container.sandbox_before)
    )
    return tuple(each for each in known if each is not None)


if __name__ == "__main__":
    main()
