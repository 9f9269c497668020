"""Boot the machine, run one command in it, return its exit status and output.

    host                               qemu                        machine
    run(command) ── initramfs ───────▶ kernel ───────────────▶ guest/init: modules, disk, cgroup2
         ▲                                                     guest/session: the command
         ├── output ◀── a file ◀────── virtio-serial port ◀─── its stdout and stderr
         ├── status ◀── a file ◀────── virtio-serial port ◀─── its exit status, before power-off
         └── console ◀─ a file ◀────── serial port ◀────────── the kernel's messages

A machine that powers off without a status has crashed; one that does neither within ``timeout_s``
is killed.
"""

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.vm import boot, tree

QEMU: Final = "qemu-system-x86_64"
NEEDED_PROGRAMS: Final = (QEMU, "mke2fs", "busybox")
MEMORY_MIB: Final = 2048
CPUS: Final = 2
DISK_GROWTH_MIB: Final = 2048  # sparse: room for what tests write, not allocated on the host
KERNEL_ARGUMENTS: Final = (
    "console=ttyS0",
    "quiet",
    "panic=-1",  # at once, and -no-reboot ends the emulator
    "mitigations=off",  # an emulated processor leaks nothing
    "cgroup_no_v1=all",
)
ENVIRONMENT: Final = {
    "HOME": "/root",
    "PATH": tree.SYSTEM_PATH,
    "LANG": "C.UTF-8",
    "TMPDIR": "/var/tmp",  # the disk: an overlay's upper directory can't be on every file system
    "CI": "true",  # a test that is skipped inside would be run nowhere
}


class MachineError(Exception):
    """The machine did not reach an exit status; the message ends with the last lines of its
    console.
    """


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a command in the machine: stdout and stderr together, as they came."""

    status: int
    output: str


def missing() -> str | None:
    """Return why no machine can boot here, or nothing."""
    if platform.machine() != "x86_64":
        return f"the virtual machine is x86_64, this one is {platform.machine()}"
    for program in NEEDED_PROGRAMS:
        if _found(program) is None:
            return f"{program} is not installed"
    if boot.kernel_image() is None:
        return f"no kernel in {boot.KERNEL_DIRECTORY}"
    return None


def build_disk(directory: Path) -> Path:
    """Make the machine's disk in ``directory``; any number of boots can use it, none of which
    changes it.
    """
    disk = directory / "disk.ext4"
    with tempfile.TemporaryDirectory(dir=directory) as root:
        tree.build(Path(root))
        size_kib = int(_output("du", "-sk", root).split()[0]) + DISK_GROWTH_MIB * 1024
        _output(
            _found("mke2fs") or "mke2fs",
            *("-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0,lazy_itable_init=1"),
            *("-d", root, str(disk), f"{size_kib}k"),
        )
    return disk


def run(
    disk: Path, command: str, *, timeout_s: float, environment: Mapping[str, str] | None = None
) -> Outcome:
    """Boot from ``disk``, run ``command`` as root with a shell, power off.

    Raises:
        MachineError: the kernel panicked, or the command did not end within ``timeout_s`` of the
            boot's beginning.
    """
    kernel = boot.kernel_image()
    assert kernel, "missing() was asked before"
    with tempfile.TemporaryDirectory(dir=disk.parent) as name:
        directory = Path(name)
        (directory / "initramfs").write_bytes(
            boot.initramfs(kernel, command, {**ENVIRONMENT, **(environment or {})})
        )
        late = False
        try:
            subprocess.run(
                _emulator(kernel, disk, directory),
                stdin=subprocess.DEVNULL,
                timeout=timeout_s,
                check=True,
            )
        except subprocess.TimeoutExpired:
            late = True
        return _outcome(directory, timeout_s if late else None)


def _emulator(kernel: Path, disk: Path, directory: Path) -> list[str]:
    return [
        _found(QEMU) or QEMU,
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-nic", "none"),
        *(
            "-machine",
            "pc",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            str(CPUS),
            "-m",
            str(MEMORY_MIB),
        ),
        *(
            "-kernel",
            str(kernel),
            "-initrd",
            str(directory / "initramfs"),
            "-append",
            " ".join(KERNEL_ARGUMENTS),
        ),
        # snapshot: writes go to a temporary file that is deleted afterwards; unsafe: an fsync
        # inside costs nothing outside.
        *("-drive", f"file={disk},format=raw,if=virtio,snapshot=on,cache=unsafe"),
        *("-serial", f"file:{directory / 'console'}"),
        *("-device", "virtio-serial"),
        *(
            "-chardev",
            f"file,id=output,path={directory / 'output'}",
            "-device",
            "virtserialport,name=output,chardev=output",
        ),
        *(
            "-chardev",
            f"file,id=status,path={directory / 'status'}",
            "-device",
            "virtserialport,name=status,chardev=status",
        ),
    ]


def _outcome(directory: Path, late_s: float | None) -> Outcome:
    output = (directory / "output").read_text(errors="replace")
    status = (directory / "status").read_text().strip()
    if status:
        return Outcome(int(status), output)
    console = (directory / "console").read_text(errors="replace")
    trouble = (
        "ended without an exit status" if late_s is None else f"did not end within {late_s:.0f} s"
    )
    raise MachineError(
        f"the machine {trouble}\n--- output\n{output}\n--- console\n{console[-4000:]}"
    )


def _found(program: str) -> str | None:
    """Return a program's path, also of programs for root, which many users don't have in PATH."""
    return shutil.which(program, path=f"{os.environ['PATH']}:{tree.SYSTEM_PATH}")


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
