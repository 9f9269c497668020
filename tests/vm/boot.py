"""Build what the machine boots: a distribution's kernel, and an initramfs of busybox, modules and
the first script.

The kernel comes from a package that was unpacked and never installed: its modules are below
``KERNEL_DIRECTORY`` as the package has them (boot/vmlinuz-*, lib/modules/VERSION), without the
indexes that depmod(8) would make.
"""

import re
import stat
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
KERNEL_DIRECTORY: Final = REPOSITORY / ".cache" / "vm" / "kernel"
GUEST: Final = Path(__file__).parent / "guest"

# Loaded with their dependencies; a module that is built into the kernel counts as loaded.
DISK_AND_PORTS: Final = ("virtio_pci", "virtio_blk", "virtio_console", "ext4")
CONTAINERS: Final = (
    "overlay",
    "veth",
    "bridge",
    "br_netfilter",
    "dummy",
    "tun",
    "macvlan",
    "ipvlan",
    "8021q",
)
FIREWALL: Final = (
    "nf_tables", "nf_conntrack", "nf_conntrack_netlink", "nf_log_syslog", "nf_nat",
    "nft_chain_nat", "nft_ct", "nft_fib", "nft_fib_inet", "nft_fib_ipv4", "nft_fib_ipv6", "nft_hash", "nft_limit", "nft_log",
    "nft_masq", "nft_meta_bridge", "nft_nat", "nft_numgen", "nft_objref", "nft_redir",
    "nft_reject", "nft_reject_inet", "nft_reject_ipv4", "nft_reject_ipv6",
)  # fmt: skip
MODULES: Final = (*DISK_AND_PORTS, *CONTAINERS, *FIREWALL)

_UNCOMPRESS: Final[Mapping[str, tuple[str, ...]]] = {
    ".zst": ("zstd", "-dcq"),
    ".xz": ("xz", "-dc"),
    ".gz": ("gzip", "-dc"),
}
_NAME: Final = re.compile(r"([\w-]+)\.ko(\.zst|\.xz|\.gz)?")


def kernel_image() -> Path | None:
    """Return the unpacked kernel, the newest if there are several."""
    images = sorted(
        (KERNEL_DIRECTORY / "boot").glob("vmlinuz-*"), key=lambda image: image.stat().st_mtime
    )
    return images[-1] if images else None


def initramfs(kernel: Path, command: str, environment: Mapping[str, str]) -> bytes:
    """Return an archive for the kernel to unpack: it loads ``MODULES``, mounts the disk and runs
    ``command`` there.

    Raises:
        FileNotFoundError: a module that is neither built into this kernel nor beside it.
    """
    version = kernel.name.removeprefix("vmlinuz-")
    modules = in_order_of_loading(_modules_of(version), MODULES, _built_in(version))
    assignments = (f"{name}='{value}'\n" for name, value in environment.items())
    files = {
        "init": (GUEST / "init").read_bytes(),
        "session": (GUEST / "session").read_bytes(),
        "command": command.encode(),
        "environment": "".join(assignments).encode(),
        "bin/busybox": Path("/bin/busybox").read_bytes(),
        "modules/order": "".join(f"{name}.ko\n" for name in modules).encode(),
        **{f"modules/{name}.ko": content for name, content in modules.items()},
    }
    return newc_archive(files)


def in_order_of_loading(
    available: Mapping[str, Path], wanted: Iterable[str], built_in: set[str]
) -> dict[str, bytes]:
    """Return names and contents of the ``wanted`` modules and of their dependencies, each after
    those it depends on.
    """
    loaded: dict[str, bytes] = {}

    def load(name: str) -> None:
        if name in loaded or name in built_in:
            return
        if name not in available:
            raise FileNotFoundError(f"no module {name} in {KERNEL_DIRECTORY}")
        content = _module_bytes(available[name])
        for needed in dependencies(content):
            load(needed)
        loaded[name] = content

    for name in wanted:
        load(name)
    return loaded


def dependencies(module: bytes) -> list[str]:
    """Return the dependencies that the .modinfo section of a module names, with underscores."""
    match = re.search(rb"\0depends=([^\0]*)\0", module)
    names = match[1].decode().split(",") if match else []
    return [name.replace("-", "_") for name in names if name]


def newc_archive(files: Mapping[str, bytes]) -> bytes:
    """Build a cpio archive in "newc" format, all files executable, directories made as needed.

    Format: Documentation/driver-api/early-userspace/buffer-format.rst in the kernel's tree.
    """
    directories = {str(parent) for name in files for parent in Path(name).parents} - {"."}
    records = [_newc_record(name, stat.S_IFDIR | 0o755, b"") for name in sorted(directories)]
    records += [
        _newc_record(name, stat.S_IFREG | 0o755, content) for name, content in files.items()
    ]
    return b"".join([*records, _newc_record("TRAILER!!!", 0, b"")])


def _newc_record(name: str, mode: int, content: bytes) -> bytes:
    encoded = name.encode() + b"\0"
    inode, uid, gid, links, mtime, device = 0, 0, 0, 1, 0, (0, 0, 0, 0)
    fields = (inode, mode, uid, gid, links, mtime, len(content), *device, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _to_four_bytes(header + encoded) + _to_four_bytes(content)


def _to_four_bytes(text: bytes) -> bytes:
    return text + b"\0" * (-len(text) % 4)


def _modules_of(version: str) -> dict[str, Path]:
    root = next((path for path in _module_directories(version) if path.is_dir()), None)
    if root is None:
        raise FileNotFoundError(f"no modules of {version} in {KERNEL_DIRECTORY}")
    matches = ((_NAME.fullmatch(path.name), path) for path in root.rglob("*.ko*"))
    return {match[1].replace("-", "_"): path for match, path in matches if match}


def _module_directories(version: str) -> tuple[Path, ...]:
    return tuple(KERNEL_DIRECTORY / prefix / "modules" / version for prefix in ("lib", "usr/lib"))


def _built_in(version: str) -> set[str]:
    lists = (directory / "modules.builtin" for directory in _module_directories(version))
    lines = [line for path in lists if path.is_file() for line in path.read_text().splitlines()]
    return {Path(line).stem.replace("-", "_") for line in lines}


def _module_bytes(path: Path) -> bytes:
    uncompress = _UNCOMPRESS.get(path.suffix)
    if uncompress is None:
        return path.read_bytes()
    return subprocess.run([*uncompress, path], capture_output=True, check=True).stdout
