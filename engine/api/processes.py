"""What runs in a container, as ps(1) on the host tells it."""

import re
import subprocess
from collections.abc import Collection
from typing import Final

import trio

from engine.api.json_bodies import Json
from engine.errors import DriverError, InvalidRequest, Unavailable

_TIMEOUT_S: Final = 10.0
_ARGUMENTS_LENGTH_MAX: Final = 512
_RENAMED_PID: Final = re.compile(r"\s+(\S*)=\s*(PID\S*)")
"""A column that is called PID and is none, which would show processes of others."""


async def process_table(ps_arguments: str, pids: Collection[int]) -> Json:
    """``Titles`` and ``Processes``: the lines of ``ps`` whose PID is one of ``pids``.

    Raises:
        InvalidRequest: arguments that ps does not know, or that hide the PID.
        Unavailable: there is no ps on this machine.
    """
    if match := _RENAMED_PID.search(f" {ps_arguments}"):
        raise InvalidRequest(f'specifying "{match[1]}={match[2]}" is not allowed')
    if len(ps_arguments) > _ARGUMENTS_LENGTH_MAX or "\0" in ps_arguments:
        raise InvalidRequest("ps: arguments are too long")
    return table_of(await _run_ps(ps_arguments.split()), pids)


async def _run_ps(arguments: list[str]) -> str:
    try:
        with trio.fail_after(_TIMEOUT_S):
            done = await trio.run_process(
                ["ps", *arguments],
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                stdin=subprocess.DEVNULL,
            )
    except FileNotFoundError as missing:
        raise Unavailable("ps is not installed on this machine (Debian: procps)") from missing
    except trio.TooSlowError as slow:
        raise DriverError("ps did not answer") from slow
    if done.returncode:
        first = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise InvalidRequest(f"ps: {first}")
    return done.stdout.decode(errors="replace")


def table_of(output: str, pids: Collection[int]) -> Json:
    """Cut the output of ps into columns; the last, a command, keeps its blanks."""
    title, _, rest = output.partition("\n")
    titles = title.split()
    if "PID" not in titles:
        raise InvalidRequest("Couldn't find PID field in ps output")
    column = titles.index("PID")
    processes = []
    for line in rest.splitlines():
        fields = line.split(maxsplit=len(titles) - 1)
        if len(fields) > column and fields[column].isdecimal() and int(fields[column]) in pids:
            processes.append([field.rstrip() for field in fields])
    return {"Titles": titles, "Processes": processes}
