"""Make all files of a run: the container's directory, its files in /etc, and the bundle."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.domain import naming
from engine.domain.container.links import linked_environment
from engine.domain.container.namespace_sharing import namespace_owner
from engine.domain.container.oci import HostSide
from engine.domain.container.spec import Spec, capabilities
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.drivers.cgroups.cgroup_parents import Cgroups
from engine.drivers.images.content import Content
from engine.drivers.lanes import check_abandoned
from engine.drivers.runs.bundles import Bundles
from engine.drivers.runs.device_mappings import mapped_devices, refuse_requests
from engine.drivers.runs.devices import host_devices
from engine.drivers.runs.etc_files import EtcFiles
from engine.drivers.runs.launch_orders import PlannedRun, planned_run
from engine.drivers.runs.seccomp import UNCONFINED, SeccompPrograms
from engine.drivers.storage.propagation import check_propagation
from engine.drivers.storage.rootfs import Rootfs
from engine.errors import DriverError


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleMaker:
    """Makes all files that the launcher and the first process need. All methods block."""

    data_root: Path
    exec_root: Path
    bundles: Bundles
    rootfs: Rootfs
    content: Content
    cgroups: Cgroups
    seccomp: SeccompPrograms
    init_path: Path | None
    """A static init for ``--init``."""
    files: EtcFiles
    container_of: Callable[[ContainerId], Container | None]

    def make(self, container: Container) -> None:
        """Make all files of a container's present run.

        Raises:
            DriverError: the kernel or the disk refuses, or a bind's source is missing.
        """
        spec = container.spec
        refuse_requests(spec.resources.device_requests)
        lower = self.content.lower_directories(spec.image_id)
        self._make_bind_sources(container)
        check_propagation(spec.binds)
        check_abandoned()  # a bind's source may have blocked until the caller was cancelled
        self.rootfs.make(container.id, lower[0])
        self.files.write(container)
        self.bundles.write(
            container,
            self._host_side(container),
            lower=lower,
            cgroup_procs=self.cgroups.of(container).entry(container.id).join,
            seccomp=self.seccomp_program(container),
        )

    def planned_run(self, container: Container) -> PlannedRun:
        """Plan the run for which :meth:`make` has made the files."""
        cgroups = self.cgroups.of(container)
        return planned_run(container, cgroups, data_root=self.data_root, exec_root=self.exec_root)

    def linked_env(self, container: Container) -> tuple[str, ...]:
        """Return the environment variables that describe linked containers."""
        return linked_environment(container, self.container_of)

    def seccomp_program(self, container: Container, *, privileged: bool = False) -> Path | None:
        """Return the compiled filter for a container's processes; None without one."""
        spec = container.spec
        profile = UNCONFINED if spec.privileged or privileged else spec.seccomp
        return self.seccomp.path(profile, capabilities(spec))

    def _host_side(self, container: Container) -> HostSide:
        """Return the paths of a container on the host. The network namespace and the files in /etc
        belong to the container that owns its network.
        """
        owner = self._network_owner(container)
        directory = naming.container_directory(self.data_root, owner.id)
        sandbox = owner.sandbox
        return HostSide(
            rootfs=str(self.bundles.rootfs(container.id)),
            hosts=str(directory / "hosts"),
            hostname=str(directory / "hostname"),
            resolv_conf=str(directory / "resolv.conf"),
            sandbox=str(naming.sandbox_path(self.exec_root, sandbox)) if sandbox else "",
            init=self._init() if container.spec.init else "",
            linked_env=self.linked_env(container),
            devices=_devices(container.spec),
        )

    def _network_owner(self, container: Container) -> Container:
        """Return the container that owns the network: itself, or the end of the chain of containers
        that join each other's.

        Raises:
            DriverError: one of them does not run.
        """
        owner = container
        while owner_id := namespace_owner(owner.spec.network_mode):
            found = self.container_of(owner_id)
            if found is None or not found.is_running:
                raise DriverError(f"cannot join network of a non running container: {owner_id}")
            owner = found
        return owner

    def _init(self) -> str:
        if self.init_path is None:
            raise DriverError(
                "docker-init is not installed: --init needs a static init such as tini"
            )
        return str(self.init_path)

    def _make_bind_sources(self, container: Container) -> None:
        for bind in container.spec.binds:
            source = Path(bind.source)
            if _exists(source):
                continue
            if not bind.create_source:
                raise DriverError(
                    'invalid mount config for type "bind": bind source path does not exist: '
                    f"{bind.source}"
                )
            try:
                source.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DriverError(f"error while creating mount source path '{source}'") from error


def _exists(source: Path) -> bool:
    """Return whether a bind's source exists.

    Raises:
        DriverError: its file system can't be read: its server is gone, ENOTCONN or ESTALE.
    """
    try:
        return source.exists()
    except OSError as error:
        raise DriverError(f"look for bind source {source}: {error.strerror}") from error


def _devices(spec: Spec) -> tuple[dict[str, Any], ...]:
    """Return the requested devices; for a privileged container all of the host's, and those
    requested at other paths.
    """
    mappings = spec.resources.devices
    if not spec.privileged:
        return mapped_devices(mappings)
    moved = (each for each in mappings if each.source != each.destination)
    return (*host_devices(), *mapped_devices(moved))
