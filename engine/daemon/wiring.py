"""Which driver answers what: every object of a daemon, made once and handed to whoever needs it."""

import os
import platform
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.daemon.clock import KernelClock
from engine.daemon.config import Config
from engine.daemon.networks import subnet_sources
from engine.domain import naming
from engine.domain.container import Container
from engine.domain.ids import ContainerId, ImageId, NetworkId, SandboxId
from engine.domain.network import Network
from engine.domain.spec import DEFAULT_NETWORK
from engine.drivers.cgroups.parents import Cgroups
from engine.drivers.cgroups.v2 import V2Driver
from engine.drivers.filesystems.container_files import LinuxContainerFiles
from engine.drivers.filesystems.container_views import Views
from engine.drivers.filesystems.rootfs import Rootfs
from engine.drivers.filesystems.trash import Trash
from engine.drivers.images.content import Content
from engine.drivers.images.registry import LinuxRegistries
from engine.drivers.images.store import LinuxImages
from engine.drivers.kernel import LinuxKernel
from engine.drivers.lanes import Lanes
from engine.drivers.names.resolver import Resolver
from engine.drivers.networks.firewall import Firewall
from engine.drivers.networks.linux import LinuxNetworks
from engine.drivers.networks.name_plan import network_listener
from engine.drivers.networks.network import NetworkDriver
from engine.drivers.networks.sandbox_pool import Attendants, SandboxPool
from engine.drivers.runs.bundle_maker import BundleMaker
from engine.drivers.runs.bundles import Bundles
from engine.drivers.runs.connections import Connections
from engine.drivers.runs.etc_files import EtcFiles
from engine.drivers.runs.launcher import Launcher
from engine.drivers.runs.monitors import Monitors
from engine.drivers.runs.probes import MonitorProbes
from engine.drivers.runs.seccomp import SeccompPrograms
from engine.drivers.streams import LinuxStreams
from engine.drivers.usage import LinuxUsage
from engine.errors import EngineError
from engine.service.changes import Changes
from engine.service.commits import Commits
from engine.service.containers import Containers
from engine.service.engine import Service
from engine.service.execs import Execs
from engine.service.files import Files
from engine.service.history import History
from engine.service.images import Images
from engine.service.networks import Networks
from engine.service.registries import Registries
from engine.service.system import Settings, System
from engine.service.updates import Updates
from engine.service.usage import Statistics
from engine.store.ledger import Ledger
from engine.store.log import EventLog
from engine.supervisor.supervisor import Supervisor

ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
"""The machine in Go's words, as images have it."""
_PREPARED_FACTOR: Final = 4
"""All networks together have so many times the prepared namespaces of the default one, at most."""
_INITS: Final = ("docker-init", "tini-static", "catatonit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """Everything that runs in the background, and the service in front of it."""

    ledger: Ledger
    supervisor: Supervisor
    kernel: LinuxKernel
    launcher: Launcher
    connections: Connections
    content: Content
    service: Service


def open_ledger(config: Config) -> Ledger:
    """The log and its views.

    Raises:
        StoreCorrupt, StoreUnavailable: the database can't be used; it is left as it is.
    """
    return Ledger(EventLog.open(naming.database(config.data_root)), KernelClock())


def assemble(config: Config, ledger: Ledger, descriptors: tuple[int, int]) -> Daemon:
    """Make all parts of a daemon whose log has begun; nothing runs yet."""
    instance = ledger.durable.host.instance
    lanes = Lanes()
    cgroup_parent = config.cgroup_parent or naming.default_cgroup_parent(instance)
    cgroups = Cgroups(cgroup_parent)
    network = NetworkDriver(instance, config.exec_root)
    launcher = Launcher(config.exec_root, lanes, descriptors)
    supervisors: list[Supervisor] = []  # the one that does not exist yet

    def wake(container: str) -> None:
        kernel.hint(ContainerId(container))
        for supervisor in supervisors:
            supervisor.wake(container)

    monitors = Monitors(config.exec_root / "bundles", launcher, wake)
    connections = Connections(monitors)
    content = Content(config.data_root, lambda: _images_needed(ledger), _architecture())

    def network_of(identity: NetworkId) -> Network:
        return ledger.durable.networks[identity]

    rootfs = Rootfs(config.data_root)
    bundles = BundleMaker(
        data_root=config.data_root,
        exec_root=config.exec_root,
        bundles=Bundles(config.data_root, config.exec_root),
        rootfs=rootfs,
        files=EtcFiles(
            rootfs=rootfs,
            gateway=lambda: _gateway(ledger),
            network_of=network_of,
            container_of=ledger.durable.containers.get,
        ),
        content=content,
        cgroups=cgroups,
        seccomp=SeccompPrograms(config.data_root / "seccomp"),
        init_path=_init_path(config),
        container_of=ledger.durable.containers.get,
    )
    names = Resolver(config.exec_root)

    async def serve_prepared(identity: NetworkId, sandbox: SandboxId) -> None:
        if wanted := network_listener(sandbox, network_of(identity)):
            await names.serve(wanted)

    networks = LinuxNetworks(
        exec_root=config.exec_root,
        lanes=lanes,
        driver=network,
        firewall=Firewall(instance),
        pool=SandboxPool(
            network,
            lanes,
            Attendants(prepared=serve_prepared, thrown_away=names.forget),
            most=_PREPARED_FACTOR * config.prepared_sandboxes,
        ),
        names=names,
        network_of=network_of,
        everything=lambda: (ledger.durable.networks_with_links(), ledger.durable.publishers()),
        container_named=lambda name: _container_named(ledger, name),
    )
    kernel = LinuxKernel(
        data_root=config.data_root,
        exec_root=config.exec_root,
        lanes=lanes,
        cgroups=cgroups,
        networks=networks,
        monitors=monitors,
        connections=connections,
        bundles=bundles,
        trash=Trash(lanes),
        running=lambda: _running(ledger),
    )
    probes = MonitorProbes(monitors=monitors, bundles=bundles, lanes=lanes)
    supervisor = Supervisor(ledger, kernel, probes, config.prepared_sandboxes)
    supervisors.append(supervisor)
    streams = LinuxStreams(
        data_root=config.data_root,
        lanes=lanes,
        monitors=monitors,
        connections=connections,
        cgroups=cgroups,
    )
    changes = Changes(ledger)
    settings = Settings(
        data_root=config.data_root,
        exec_root=config.exec_root,
        cgroup_parent=cgroup_parent,
        cgroup_version="2" if isinstance(cgroups.own, V2Driver) else "1",
        machine=cgroups.own.machine(),
        init_path=str(_init_path(config) or ""),
        subnet_sources=subnet_sources(instance, config),
    )
    containers = Containers(ledger, supervisor.starts, streams, changes)
    files = _container_files(config, content, kernel)
    images = LinuxImages(content, lanes)
    service = Service(
        commits=Commits(ledger, images, files, changes),
        containers=containers,
        execs=Execs(ledger, supervisor, streams, changes),
        files=Files(ledger, files, changes),
        images=Images(ledger, images),
        history=History(ledger),
        networks=Networks(ledger, supervisor.networks, changes, subnet_sources(instance, config)),
        registries=Registries(ledger, LinuxRegistries(lanes)),
        system=System(ledger, settings),
        statistics=Statistics(containers, LinuxUsage(cgroups, lanes), changes),
        updates=Updates(ledger, changes, settings.machine),
        health=supervisor.health,
        ledger=ledger,
    )
    return Daemon(
        ledger=ledger,
        supervisor=supervisor,
        kernel=kernel,
        launcher=launcher,
        connections=connections,
        content=content,
        service=service,
    )


def _container_files(config: Config, content: Content, kernel: LinuxKernel) -> LinuxContainerFiles:
    """With the kernel's own locks: a copy and a start keep each other waiting."""
    return LinuxContainerFiles(
        data_root=config.data_root,
        views=Views(
            data_root=config.data_root,
            exec_root=config.exec_root,
            rootfs=kernel.bundles.rootfs,
            content=content,
        ),
        uppers=kernel.uppers,
        lanes=kernel.lanes,
    )


def _container_named(ledger: Ledger, name: str) -> ContainerId | None:
    try:
        return ledger.durable.container(name).id
    except EngineError:
        return None


def _gateway(ledger: Ledger) -> str:
    """The address at which containers of the default network reach the host."""
    pool = ledger.durable.network(DEFAULT_NETWORK).ipv4
    assert pool is not None
    return pool.gateway


def _images_needed(ledger: Ledger) -> Collection[ImageId]:
    """Called on another thread: both dictionaries are copied in one step each."""
    images = list(ledger.durable.images.values())
    containers = list(ledger.head.containers.values())
    present = {image.id for image in images if not image.removed}
    return present | {container.spec.image_id for container in containers}


def _running(ledger: Ledger) -> tuple[Container, ...]:
    return tuple(each for each in ledger.durable.containers.values() if each.is_running)


def _architecture() -> str:
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)


def _init_path(config: Config) -> Path | None:
    if config.init_path is not None:
        return config.init_path
    search = os.environ.get("PATH", os.defpath)
    found = (shutil.which(name, path=search) for name in _INITS)
    return next((Path(path) for path in found if path), None)
