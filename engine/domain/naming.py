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
"""How much of a sandbox's ID the names of its links have."""
SLOT_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
SLOTS_MAX: Final = len(SLOT_DIGITS)
"""How many interfaces a sandbox can have."""


def tag(instance: InstanceId) -> str:
    """The few digits that mark every kernel object of one instance."""
    return instance[:_TAG_DIGITS]


def host_veth(instance: InstanceId, sandbox: SandboxId, slot: int = 0) -> str:
    """The host's end of the veth pair whose other one is ``eth<slot>``: 15 bytes, IFNAMSIZ - 1,
    netdevice(7).
    """
    return f"{_INTERFACE_PREFIX}{tag(instance)}{sandbox[:_VETH_DIGITS]}{SLOT_DIGITS[slot]}"


def host_veths(instance: InstanceId, sandbox: SandboxId) -> str:
    """What the names of the host's ends of all pairs of a sandbox begin with; the rest is the
    slot.
    """
    return f"{_INTERFACE_PREFIX}{tag(instance)}{sandbox[:_VETH_DIGITS]}"


def host_veth_prefix(instance: InstanceId) -> str:
    """What the names of all veths of an instance begin with."""
    return f"{_INTERFACE_PREFIX}{tag(instance)}"


def firewall_table(instance: InstanceId) -> str:
    """The nftables table (family inet) that belongs to one instance."""
    return f"shipslog_{tag(instance)}"


def default_cgroup_parent(instance: InstanceId) -> str:
    """The cgroup below which an instance keeps its containers, relative to each hierarchy's
    root.
    """
    return f"shipslog-{tag(instance)}"


def database(data_root: Path) -> Path:
    """The event store."""
    return data_root / "shipslog.db"


def container_directory(data_root: Path, container: ContainerId) -> Path:
    """What a container keeps across its runs."""
    return data_root / f"containers/{container}"


def log_path(data_root: Path, container: ContainerId) -> Path:
    """A container's log, in Docker's json-file format."""
    return data_root / f"containers/{container}/{container}-json.log"


def journal_path(data_root: Path, container: ContainerId, run: int) -> Path:
    """What the monitor of a container's ``run``-th start writes down; survives a power cut."""
    return data_root / f"containers/{container}/journal.{run}"


def bundle_directory(exec_root: Path, container: ContainerId) -> Path:
    """The OCI bundle of a container that runs (runtime-spec, bundle.md), and its monitor's
    socket.
    """
    return exec_root / f"bundles/{container}"


def sandbox_path(exec_root: Path, sandbox: SandboxId) -> Path:
    """Where a network namespace is pinned."""
    return exec_root / f"netns/{sandbox}"


def view_directory(exec_root: Path) -> Path:
    """Where the root of a container that does not run is put together, in a mount namespace that
    only one thread has.
    """
    return exec_root / "view"


def blob_path(data_root: Path, digest: Digest) -> Path:
    """Content by its digest (OCI image-layout)."""
    algorithm, _, digits = digest.partition(":")
    return data_root / f"content/blobs/{algorithm}/{digits}"


def layer_directory(data_root: Path, chain: ChainId) -> Path:
    """The unpacked filesystem changes of the topmost layer of a chain.

    Short, because all layers of a container stand in the one page of options that mount(2) takes
    for an overlay.
    """
    return data_root / f"layers/{chain.removeprefix('sha256:')[:_LAYER_DIGITS]}"
