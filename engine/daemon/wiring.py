"""Put a daemon together: the log, the drivers, the supervisor, and the service in front of them.

::

    Ledger ─▶ LogState ─▶ Drivers ─▶ Supervisor ─▶ Service
                             │  hints ─▶ │
                             └───────────┘   monitors are followed by the kernel and by the supervisor
"""

from dataclasses import dataclass

from engine.daemon.clock import KernelClock
from engine.daemon.config import Config
from engine.daemon.drivers import (
    Drivers,
    cgroup_parent,
    init_path,
    make_drivers,
    make_files,
    make_probes,
    make_streams,
)
from engine.daemon.log_state import LogState
from engine.daemon.networks import subnet_sources
from engine.domain import naming
from engine.drivers.cgroups.v2 import V2Driver
from engine.drivers.host.port import LinuxHost
from engine.drivers.images.port import LinuxImages
from engine.drivers.registries.port import LinuxRegistries
from engine.drivers.usage import LinuxUsage
from engine.queries.events import Events
from engine.queries.history import History
from engine.queries.system import Settings, System
from engine.queries.usage import Statistics
from engine.queries.waiting import Changes
from engine.service.commits import Commits
from engine.service.containers.streams import ContainerStreams
from engine.service.containers.updates import Updates
from engine.service.containers.verbs import Containers
from engine.service.engine import Service
from engine.service.execs import Execs
from engine.service.files import Files
from engine.service.images import Images
from engine.service.networks import Networks
from engine.service.prunes import Prunes
from engine.service.registries import Registries
from engine.store.ledger import Ledger
from engine.store.log import EventLog
from engine.supervisor.supervisor import Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """The parts of a daemon: what runs in the background, and the service in front of it."""

    ledger: Ledger
    drivers: Drivers
    supervisor: Supervisor
    service: Service


def open_ledger(config: Config) -> Ledger:
    """Open the log and its views.

    Raises:
        StoreCorrupt, StoreUnavailable: the database can't be used; it is left as it is.
    """
    return Ledger(EventLog.open(naming.database(config.data_root)), KernelClock())


def assemble(config: Config, ledger: Ledger, descriptors: tuple[int, int]) -> Daemon:
    """Make all parts of a daemon whose log has begun.

    Nothing runs yet. ``descriptors`` are the limits that containers get.
    """
    state = LogState(ledger)
    drivers = make_drivers(config, state, descriptors)
    supervisor = Supervisor(ledger, drivers.kernel, make_probes(drivers), config.prepared_sandboxes)
    drivers.monitors.follow(drivers.kernel.hint)
    drivers.monitors.follow(supervisor.wake)
    return Daemon(
        ledger=ledger,
        drivers=drivers,
        supervisor=supervisor,
        service=_service(config, state, drivers, supervisor),
    )


def _service(config: Config, state: LogState, drivers: Drivers, supervisor: Supervisor) -> Service:
    ledger, changes = state.ledger, Changes(state.ledger)
    settings = _settings(config, state, drivers)
    streams, stored = make_streams(config, drivers), make_files(config, drivers)
    host = LinuxHost(config.data_root, drivers.lanes)
    content = LinuxImages(drivers.content, config.data_root, drivers.lanes)
    containers = Containers(
        ledger, supervisor.starts, supervisor.health, streams, host, changes, settings.machine
    )
    files, images = Files(ledger, stored, changes), Images(ledger, content)
    networks = Networks(ledger, supervisor.networks, changes, settings.subnet_sources)
    return Service(
        commits=Commits(ledger, content, stored, changes),
        containers=containers,
        events=Events(ledger),
        execs=Execs(ledger, supervisor, streams, changes),
        files=files,
        images=images,
        history=History(ledger),
        networks=networks,
        prunes=Prunes(ledger, containers, files, images, networks),
        registries=Registries(ledger, LinuxRegistries(drivers.lanes)),
        streams=ContainerStreams(ledger, streams, host, changes),
        system=System(ledger, settings, host, drivers.lanes.all_hanging),
        statistics=Statistics(containers.get, LinuxUsage(drivers.cgroups, drivers.lanes), changes),
        updates=Updates(ledger, changes, settings.machine),
    )


def _settings(config: Config, state: LogState, drivers: Drivers) -> Settings:
    own = drivers.cgroups.own
    return Settings(
        data_root=config.data_root,
        exec_root=config.exec_root,
        cgroup_parent=cgroup_parent(config, state),
        cgroup_version="2" if isinstance(own, V2Driver) else "1",
        machine=own.machine(),
        init_path=str(init_path(config) or ""),
        subnet_sources=subnet_sources(state.instance, config),
    )
