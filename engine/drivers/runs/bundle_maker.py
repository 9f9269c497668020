"""Everything on disk that a run needs: the container's directory, the files that it sees in /etc, and its bundle."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from engine.domain import naming
from engine.domain.container import Container
from engine.domain.guest_files import (
    hostname_text,
    hosts_of_host_text,
    hosts_text,
    resolv_conf_text,
)
from engine.domain.oci import HostSide
from engine.domain.spec import NetworkMode, Spec, capabilities
from engine.drivers.cgroups.parents import Cgroups
from engine.drivers.filesystems.propagation import check_propagation
from engine.drivers.filesystems.rootfs import Rootfs, host_file, host_resolv_conf
from engine.drivers.images.content import Content
from engine.drivers.runs.bundles import Bundles
from engine.drivers.runs.device_mappings import mapped_devices, refuse_requests
from engine.drivers.runs.devices import host_devices
from engine.drivers.runs.seccomp import UNCONFINED, SeccompPrograms
from engine.errors import DriverError


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleMaker:
    """Makes what the launcher is pointed at. All methods block."""

    data_root: Path
    exec_root: Path
    bundles: Bundles
    rootfs: Rootfs
    content: Content
    cgroups: Cgroups
    seccomp: SeccompPrograms
    init_path: Path | None
    """A static init for ``--init``."""
    gateway: Callable[[], str]
    """The address at which containers reach the host."""

    def make(self, container: Container) -> None:
        """Have all of it for a container's present run.

        Raises:
            DriverError: the kernel or the disk refuses, or a bind's source is missing.
        """
        spec = container.spec
        refuse_requests(spec.resources.device_requests)
        lower = self.content.lower_directories(spec.image_id)
        self.rootfs.make(container.id, lower[0])
        self.rootfs.write_files(container.id, _files(container, self.gateway()))
        self._make_bind_sources(container)
        check_propagation(spec.binds)
        self.bundles.write(
            container,
            self._host_side(container),
            lower=lower,
            entry=self.cgroups.of(container).entry(container.id),
            oom_counters=self.cgroups.of(container).oom_counters(container.id),
            seccomp=self.seccomp_program(container),
        )

    def seccomp_program(self, container: Container, *, privileged: bool = False) -> Path | None:
        """The compiled filter for a container's processes; None without one."""
        spec = container.spec
        profile = UNCONFINED if spec.privileged or privileged else spec.seccomp
        return self.seccomp.path(profile, capabilities(spec))

    def _host_side(self, container: Container) -> HostSide:
        directory = naming.container_directory(self.data_root, container.id)
        sandbox = container.sandbox
        return HostSide(
            rootfs=str(self.bundles.rootfs(container.id)),
            hosts=str(directory / "hosts"),
            hostname=str(directory / "hostname"),
            resolv_conf=str(directory / "resolv.conf"),
            sandbox=str(naming.sandbox_path(self.exec_root, sandbox)) if sandbox else "",
            init=self._init() if container.spec.init else "",
            devices=_devices(container.spec),
        )

    def _init(self) -> str:
        if self.init_path is None:
            raise DriverError(
                "docker-init is not installed: --init needs a static init such as tini"
            )
        return str(self.init_path)

    def _make_bind_sources(self, container: Container) -> None:
        for bind in container.spec.binds:
            source = Path(bind.source)
            if source.exists():
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


def _devices(spec: Spec) -> tuple[dict[str, Any], ...]:
    """What was asked for; for a privileged container all of the host's, and what was asked for elsewhere."""
    mappings = spec.resources.devices
    if not spec.privileged:
        return mapped_devices(mappings)
    moved = (each for each in mappings if each.source != each.destination)
    return (*host_devices(), *mapped_devices(moved))


def _files(container: Container, gateway: str) -> dict[str, str]:
    spec = container.spec
    names = (spec.dns, spec.dns_search, spec.dns_options)
    if spec.network_mode is NetworkMode.HOST:
        resolv_conf = host_file("resolv.conf")
        return {
            "hosts": hosts_of_host_text(host_file("hosts"), spec.extra_hosts, gateway),
            "hostname": hostname_text(spec.hostname),
            "resolv.conf": resolv_conf_text(resolv_conf, *names) if any(names) else resolv_conf,
        }
    endpoint = container.endpoint
    address = str(IPv4Interface(endpoint.address).ip) if endpoint else ""
    return {
        "hosts": hosts_text(spec.extra_hosts, address, spec.hostname, spec.domainname, gateway),
        "hostname": hostname_text(spec.hostname),
        "resolv.conf": resolv_conf_text(host_resolv_conf(), *names),
    }
