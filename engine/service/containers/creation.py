"""Decide the creation of a container: check what is asked for, and fill in what is not."""

import secrets

from msgspec.structs import replace

from engine.domain.container.endpoints import with_networks
from engine.domain.container.events import Created
from engine.domain.container.namespace_sharing import HOST, namespace_owner
from engine.domain.container.resource_rules import accepted
from engine.domain.container.resources import Machine
from engine.domain.container.spec import Spec
from engine.domain.ids import SHORT, ContainerId
from engine.domain.image.removal import find_image
from engine.errors import InvalidRequest
from engine.ports.host import Host
from engine.service.containers.names import checked_name, fresh_name
from engine.store.container_index import NameInUse
from engine.store.projections import View


async def decide_create(
    head: View, name: str | None, spec: Spec, machine: Machine, host: Host
) -> tuple[Created, tuple[str, ...]]:
    """Return the event that creates a container, and Docker's warnings about its limits.

    The event holds on the head view as it is on return: record it without awaiting anything else.

    Args:
        head: what has been decided so far.
        name: the name asked for; None to choose one.
        spec: what is asked for.
        machine: what this machine can limit.
        host: knows the machine's name and its files.

    Raises:
        NameInUse, InvalidRequest: for the name, a limit, or a bind whose source does not exist.
        NoSuchImage: the image has been removed.
        DriverError: the file system of a bind's source does not answer.
    """
    resources, warnings = accepted(spec.resources, machine)
    await _check_bind_sources(spec, host)
    find_image(head.images, spec.image_id)  # it may have been removed meanwhile
    identity = ContainerId(secrets.token_hex(32))
    chosen = _chosen_name(head, name)
    spec = replace(
        spec, resources=resources, hostname=spec.hostname or _hostname(head, spec, identity, host)
    )
    return Created(id=identity, name=chosen, spec=with_networks(head, spec)), warnings


def _chosen_name(head: View, name: str | None) -> str:
    if name:
        chosen = checked_name(name)
        head.check_name_free(chosen)
        return chosen

    def is_free(name: str) -> bool:
        try:
            head.check_name_free(name)
        except NameInUse:
            return False
        return True

    return fresh_name(is_free)


def _hostname(head: View, spec: Spec, identity: ContainerId, host: Host) -> str:
    """Return the name of the network namespace's owner, or the beginning of the container's ID."""
    if spec.network_mode == HOST:
        return host.name()
    owner = head.containers.get(namespace_owner(spec.network_mode) or identity)
    return owner.spec.hostname if owner is not None else identity[:SHORT]


async def _check_bind_sources(spec: Spec, host: Host) -> None:
    for bind in spec.binds:
        if not bind.create_source and not await host.path_exists(bind.source):
            raise InvalidRequest(
                'invalid mount config for type "bind": bind source path does not exist: '
                f"{bind.source}"
            )
