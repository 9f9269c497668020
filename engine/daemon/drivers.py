"""Make the drivers, each once, and pass them to those that need them. Nothing runs yet."""

import os
import platform
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from engine.daemon.config import Config
from engine.daemon.log_state import LogState
from engine.domain import naming
from engine.domain.ids import NetworkId, SandboxId
from engine.drivers.cgroups.cgroup_parents import Cgroups
from engine.drivers.files.port import LinuxContainerFiles
from engine.drivers.files.views import Views
from engine.drivers.images.content import Content
from engine.drivers.kernel import LinuxKernel
from engine.drivers.lanes import Lanes
from engine.drivers.networks.firewall import Firewall
from engine.drivers.networks.name_plan import network_listener
from engine.drivers.networks.port import LinuxNetworks
from engine.drivers.networks.sandbox_driver import NetworkDriver
from engine.drivers.networks.sandbox_pool import PoolCallbacks, SandboxPool
from engine.drivers.resolver.client import Resolver
from engine.drivers.runs.bundle_maker import BundleMaker
from engine.drivers.runs.bundles import Bundles
from engine.drivers.runs.connections import Connections
from engine.drivers.runs.etc_files import EtcFiles
from engine.drivers.runs.launcher import Launcher
from engine.drivers.runs.monitors import Monitors
from engine.drivers.runs.probes import MonitorProbes
from engine.drivers.runs.seccomp import SeccompPrograms
from engine.drivers.storage.rootfs import Rootfs
from engine.drivers.storage.trash import Trash
from engine.drivers.streams import LinuxStreams

ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
"""The machine in Go's words, as images have it."""
_PREPARED_FACTOR: Final = 4
"""The prepared namespaces of all networks, as a multiple of those of the default one, at most."""
_INITS: Final = ("docker-init", "tini-static", "catatonit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drivers:
    """The drivers that more than the kernel needs; the kernel has the others."""

    lanes: Lanes
    launcher: Launcher
    content: Content
    kernel: LinuxKernel

    @property
    def monitors(self) -> Monitors:
        """Return the connections to containers' monitors."""
        return self.kernel.monitors

    @property
    def cgroups(self) -> Cgroups:
        """Return the control groups."""
        return self.kernel.cgroups


def make_drivers(config: Config, state: LogState, descriptors: tuple[int, int]) -> Drivers:
    """Make all drivers of a daemon whose log has begun.

    Args:
        config: where things are, and what the administrator asked for.
        state: answers the drivers' questions about the log.
        descriptors: the limits that containers get, soft and hard.
    """
    lanes = Lanes()
    launcher = Launcher(config.exec_root, lanes, descriptors)
    content = Content(config.data_root, state.images_needed, _architecture())
    kernel = _kernel(config, state, lanes, launcher, content)
    return Drivers(lanes=lanes, launcher=launcher, content=content, kernel=kernel)


def cgroup_parent(config: Config, state: LogState) -> str:
    """Return the cgroup that holds the containers', relative to each hierarchy's root."""
    return config.cgroup_parent or naming.default_cgroup_parent(state.instance)


def _kernel(
    config: Config, state: LogState, lanes: Lanes, launcher: Launcher, content: Content
) -> LinuxKernel:
    cgroups = Cgroups(cgroup_parent(config, state))
    monitors = Monitors(config.exec_root / "bundles", launcher)
    return LinuxKernel(
        data_root=config.data_root,
        exec_root=config.exec_root,
        lanes=lanes,
        cgroups=cgroups,
        networks=_networks(config, state, lanes),
        monitors=monitors,
        connections=Connections(monitors),
        bundles=_bundles(config, state, content, cgroups),
        trash=Trash(lanes),
        running=state.running,
    )


def _bundles(config: Config, state: LogState, content: Content, cgroups: Cgroups) -> BundleMaker:
    rootfs = Rootfs(config.data_root)
    return BundleMaker(
        data_root=config.data_root,
        exec_root=config.exec_root,
        bundles=Bundles(config.data_root, config.exec_root),
        rootfs=rootfs,
        files=EtcFiles(
            rootfs=rootfs,
            gateway=state.gateway,
            network_of=state.network,
            container_of=state.container,
        ),
        content=content,
        cgroups=cgroups,
        seccomp=SeccompPrograms(config.data_root / "seccomp"),
        init_path=init_path(config),
        container_of=state.container,
    )


def _networks(config: Config, state: LogState, lanes: Lanes) -> LinuxNetworks:
    driver = NetworkDriver(state.instance, config.exec_root)
    names = Resolver(config.exec_root)
    callbacks = PoolCallbacks(
        after_creation=partial(_serve_names, names, state), before_removal=names.forget
    )
    most = _PREPARED_FACTOR * config.prepared_sandboxes
    return LinuxNetworks(
        exec_root=config.exec_root,
        lanes=lanes,
        driver=driver,
        firewall=Firewall(state.instance),
        pool=SandboxPool(driver, lanes, callbacks, most),
        names=names,
        network_of=state.network,
        everything=state.firewall,
        container_named=state.container_named,
    )


async def _serve_names(
    names: Resolver, state: LogState, network: NetworkId, sandbox: SandboxId
) -> None:
    """Start to resolve names in a prepared namespace, if its network has names."""
    if requested := network_listener(sandbox, state.network(network)):
        await names.serve(requested)


def make_probes(drivers: Drivers) -> MonitorProbes:
    """Make what runs the commands of health checks."""
    kernel = drivers.kernel
    return MonitorProbes(monitors=kernel.monitors, bundles=kernel.bundles, lanes=drivers.lanes)


def make_streams(config: Config, drivers: Drivers) -> LinuxStreams:
    """Make what connects clients with containers' standard streams."""
    return LinuxStreams(
        data_root=config.data_root,
        lanes=drivers.lanes,
        monitors=drivers.monitors,
        connections=drivers.kernel.connections,
        cgroups=drivers.cgroups,
    )


def make_files(config: Config, drivers: Drivers) -> LinuxContainerFiles:
    """Make what reads and writes containers' files.

    It shares the kernel's locks, so that a copy and a start wait for each other.
    """
    kernel = drivers.kernel
    views = Views(
        data_root=config.data_root,
        exec_root=config.exec_root,
        rootfs=kernel.bundles.rootfs,
        content=drivers.content,
    )
    return LinuxContainerFiles(
        data_root=config.data_root, views=views, layer_locks=kernel.layer_locks, lanes=drivers.lanes
    )


def init_path(config: Config) -> Path | None:
    """Return the configured program for ``docker run --init``, or the first that is found."""
    if config.init_path is not None:
        return config.init_path
    search = os.environ.get("PATH", os.defpath)
    found = (shutil.which(name, path=search) for name in _INITS)
    return next((Path(path) for path in found if path), None)


def _architecture() -> str:
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)
