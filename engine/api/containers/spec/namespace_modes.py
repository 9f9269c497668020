"""Convert Docker's modes of namespaces to the domain's values and back."""

from collections.abc import Callable
from dataclasses import dataclass

from engine.api.containers.spec.body import HostConfigWire
from engine.api.http.json_bodies import Json
from engine.api.http.requests import ApiVersion
from engine.domain.container.namespace_sharing import (
    HOST,
    NONE,
    PRIVATE,
    SHAREABLE,
    namespace_owner,
    with_container,
)
from engine.domain.container.spec import Spec
from engine.domain.container.state import Container
from engine.errors import InvalidRequest, NotFound

Lookup = Callable[[str], Container]
"""Finds a container by its name, its ID or the beginning of one; raises NotFound."""

_PRIVATE_IPC_SINCE: ApiVersion = (1, 40)
"""In older versions every container's shared memory could be joined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Modes:
    """The five modes, with names of containers turned into their IDs."""

    pid: str
    ipc: str
    uts: str
    cgroupns: str
    userns: str


def parse_modes(host: HostConfigWire, lookup: Lookup, version: ApiVersion) -> Modes:
    """Parse the modes.

    Raises:
        InvalidRequest: a mode that Docker does not know, or a container that is not there.
    """
    ipc_default = PRIVATE if version >= _PRIVATE_IPC_SINCE else SHAREABLE
    ipc = host.ipc_mode or ipc_default
    return Modes(
        pid=_mode("PID mode", host.pid_mode or "", ("", HOST), lookup),
        ipc=_mode("IPC mode", ipc, (HOST, PRIVATE, SHAREABLE, NONE), lookup),
        uts=_mode("UTS mode", host.uts_mode or "", ("", HOST)),
        cgroupns=_mode("cgroup namespace mode", host.cgroupns_mode or PRIVATE, (PRIVATE, HOST)),
        userns=_mode("userns mode", host.userns_mode or "", ("", HOST)),
    )


def _mode(what: str, mode: str, known: tuple[str, ...], lookup: Lookup | None = None) -> str:
    if mode in known:
        return mode
    owner = namespace_owner(mode) if lookup else None
    if not lookup or not owner:
        raise InvalidRequest(f"invalid {what}: {mode}")
    return with_container(known_container(owner, lookup).id)


def known_container(reference: str, lookup: Lookup) -> Container:
    """Return a container that a request for another one names.

    Raises:
        InvalidRequest: there is none; no 404, which clients take for a missing image, and pull
            that.
    """
    try:
        return lookup(reference)
    except NotFound as error:
        raise InvalidRequest(str(error)) from error


def modes_json(spec: Spec) -> Json:
    """Return the modes' fields of ``HostConfig``."""
    return {
        "CgroupnsMode": spec.cgroupns_mode,
        "IpcMode": spec.ipc_mode,
        "PidMode": spec.pid_mode,
        "UTSMode": spec.uts_mode,
        "UsernsMode": spec.userns_mode,
    }


def knows_no_container(reference: str) -> Container:
    """Find no container: the lookup where there are none."""
    raise NotFound(f"No such container: {reference}")
