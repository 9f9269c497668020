"""Compute names of kernel objects and paths from IDs; none of them is stored.

A name that can be computed again is found again after a crash. Every name carries its owner: the
*tag* of the instance (the first digits of its ID) and the ID of the container or sandbox it belongs
to, so that what is ours can be counted by owner and two daemons on one machine never take each
other's objects.

    DATA_ROOT/                                EXEC_ROOT/  (a tmpfs: gone with the machine, as it should be)
      lock        one daemon at a time          launcher.lock   one launcher at a time
      shipslog.db                               bundles/ID/     config.json, monitor.json, monitor.sock, lock, rootfs
      containers/ID/                            netns/SANDBOX   a network namespace, pinned by a bind mount
        ID-json.log  journal.RUN                view/           empty: where files of stopped containers are looked at
        hosts hostname resolv.conf
        upper work
      content/blobs/sha256/HEX
      layers/HEX24/
"""

from pathlib import Path
from typing import Final

from engine.domain.ids import ChainId, ContainerId, Digest, InstanceId, SandboxId

_TAG_DIGITS: Final = 5
_LAYER_DIGITS: Final = 24
_INTERFACE_PREFIX: Final = "sl"
_VETH_DIGITS: Final = 7
"""How many digits of a sandbox's ID are in the names of its links."""
SLOT_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
SLOTS_MAX: Final = len(SLOT_DIGITS)
"""How many interfaces a sandbox can have."""


def tag(instance: InstanceId) -> str:
    """Return the few digits that mark every kernel object of one instance."""
    return instance[:_TAG_DIGITS]


def host_veth(instance: InstanceId, sandbox: SandboxId, slot: int = 0) -> str:
    """Return the name of the host's end of the veth pair whose other end is ``eth<slot>``: 15
    bytes, IFNAMSIZ - 1, netdevice(7).
    """
    return f"{_INTERFACE_PREFIX}{tag(instance)}{sandbox[:_VETH_DIGITS]}{SLOT_DIGITS[slot]}"


def host_veths(instance: InstanceId, sandbox: SandboxId) -> str:
    """Return the common beginning of the names of a sandbox's host ends; the slot follows."""
    return f"{_INTERFACE_PREFIX}{tag(instance)}{sandbox[:_VETH_DIGITS]}"


def host_veth_prefix(instance: InstanceId) -> str:
    """Return the common beginning of the names of all veths of an instance."""
    return f"{_INTERFACE_PREFIX}{tag(instance)}"


def firewall_table(instance: InstanceId) -> str:
    """Return the name of an instance's nftables table (family inet)."""
    return f"shipslog_{tag(instance)}"


def default_cgroup_parent(instance: InstanceId) -> str:
    """Return the cgroup below which an instance keeps its containers, relative to each hierarchy's
    root.
    """
    return f"shipslog-{tag(instance)}"


def database(data_root: Path) -> Path:
    """Return the path of the event store."""
    return data_root / "shipslog.db"


def container_directory(data_root: Path, container: ContainerId) -> Path:
    """Return where a container's files are kept across its runs."""
    return data_root / f"containers/{container}"


def log_path(data_root: Path, container: ContainerId) -> Path:
    """Return the path of a container's log, in Docker's json-file format."""
    return data_root / f"containers/{container}/{container}-json.log"


def journal_path(data_root: Path, container: ContainerId, run: int) -> Path:
    """Return where the monitor of a container's ``run``-th start writes its journal, which survives
    a power cut.
    """
    return data_root / f"containers/{container}/journal.{run}"


def bundle_directory(exec_root: Path, container: ContainerId) -> Path:
    """Return where a running container's OCI bundle (runtime-spec, bundle.md) and its monitor's
    socket are.
    """
    return exec_root / f"bundles/{container}"


def sandbox_path(exec_root: Path, sandbox: SandboxId) -> Path:
    """Return where a network namespace is pinned."""
    return exec_root / f"netns/{sandbox}"


def view_directory(exec_root: Path) -> Path:
    """Return where the root of a container that does not run is mounted, in a mount namespace of a
    single thread.
    """
    return exec_root / "view"


def blob_path(data_root: Path, digest: Digest) -> Path:
    """Return the path of content by its digest (OCI image-layout)."""
    algorithm, _, digits = digest.partition(":")
    return data_root / f"content/blobs/{algorithm}/{digits}"


def layer_directory(data_root: Path, chain: ChainId) -> Path:
    """Return where the unpacked changes of the topmost layer of a chain are.

    Short, because all layers of a container stand in the one page of options that mount(2) takes
    for an overlay.
    """
    return data_root / f"layers/{chain.removeprefix('sha256:')[:_LAYER_DIGITS]}"
