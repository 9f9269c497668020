"""Keep BPF programs for device nodes loaded, one for each policy.

Nearly all containers have the same policy, so its program is verified and loaded once. Only the
most recently used programs are kept: each holds a descriptor, and users may ask for a new policy
with each container. The kernel keeps a program that is attached to a cgroup.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from engine.drivers.cgroups import bpf

PROGRAMS_MAX: Final = 32


def _load(code: bytes) -> int:
    return bpf.bpf_prog_load(bpf.BPF_PROG_TYPE_CGROUP_DEVICE, code, "shipslog_dev")


class Programs:
    """Loaded programs, by their code. Safe to use from several threads."""

    def __init__(self, load: Callable[[bytes], int] = _load) -> None:
        self._load = load
        self._fds: OrderedDict[bytes, int] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def loaded(self, code: bytes) -> Iterator[int]:
        """Yield the descriptor of a program, which stays open until the end of the block.

        Raises:
            OSError: the kernel refuses it.
        """
        with self._lock:
            if code not in self._fds:
                self._fds[code] = self._load(code)
            self._fds.move_to_end(code)
            if len(self._fds) > PROGRAMS_MAX:
                os.close(self._fds.popitem(last=False)[1])
            yield self._fds[code]
