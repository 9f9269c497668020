"""Define failpoints: places where a test may make a process fail or die. Standard library only;
they cost nothing when none is armed.

``SHIPSLOG_FAILPOINTS`` arms them at import, in the form ``name=action[@n][,name=action…]``: at the
*n*-th time (default 1) that the point is passed, ``die`` ends the process like SIGKILL and ``fail``
raises ``OSError(EIO)``.
"""

import errno
import os
import signal
from typing import Final

VARIABLE: Final = "SHIPSLOG_FAILPOINTS"


def _parse(text: str) -> dict[str, tuple[str, int]]:
    armed: dict[str, tuple[str, int]] = {}
    for term in filter(None, text.split(",")):
        name, _, action = term.partition("=")
        verb, _, count = action.partition("@")
        if verb not in ("die", "fail"):
            raise ValueError(f"{VARIABLE}: {term!r}: expected name=die or name=fail")
        armed[name] = (verb, int(count or 1))
    return armed


_armed: Final = _parse(os.environ.get(VARIABLE, ""))


def failpoint(name: str) -> None:
    """Fail or die here if a test has armed this point; otherwise do nothing."""
    if not _armed or name not in _armed:
        return
    verb, remaining = _armed[name]
    _armed[name] = (verb, remaining - 1)
    if remaining != 1:
        return
    if verb == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    raise OSError(errno.EIO, f"failpoint {name}")
