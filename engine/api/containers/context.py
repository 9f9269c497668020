"""Collect what a container's JSON says beyond the container, as of now or as of a past moment."""

from engine.api.containers.show import JsonContext
from engine.api.times import Moment
from engine.queries.lookups import Lookups
from engine.service.engine import Service


def context_at(service: Service, lookups: Lookups, moment: Moment) -> JsonContext:
    """Return the context of a moment, in which ``lookups`` finds things."""
    settings = service.system.settings
    return JsonContext(
        data_root=settings.data_root,
        exec_root=settings.exec_root,
        networks=lookups.networks,
        images=lookups.images,
        moment=moment,
        link_names=lookups.link_names,
    )


def context_now(service: Service) -> JsonContext:
    """Return the context of this moment."""
    system = service.system
    return context_at(service, system.lookups, Moment(system.wall_ns(), system.boot_ns()))
