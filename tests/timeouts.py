"""Say how long a test waits for what should happen at once.

A deadline in a test exists to end a hang, so it may be generous; on an emulated processor it must
be. The virtual machine's runner says how much slower than usual the machine is, in
SHIPSLOG_PATIENCE.
"""

import os
from typing import Final

_FACTOR: Final = float(os.environ.get("SHIPSLOG_PATIENCE", "1"))


def patient(seconds: float) -> float:
    """Convert ``seconds`` of an ordinary machine to seconds of this one."""
    return seconds * _FACTOR
