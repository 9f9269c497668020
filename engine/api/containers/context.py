"""Collect what a container's JSON says beyond the container, as of now or as of a past moment."""

from engine.api.containers.show import Surroundings
from engine.api.times import Moment
from engine.queries.lookups import Lookups
from engine.service.engine import Service


def around(service: Service, lookups: Lookups, moment: Moment) -> Surroundings:
    """Return the surroundings of a moment, in which ``lookups`` finds things."""
    settings = service.system.settings
    return Surroundings(
        data_root=settings.data_root,
        exec_root=settings.exec_root,
        networks=lookups.networks,
        images=lookups.images,
        moment=moment,
        link_names=lookups.link_names,
    )


def around_now(service: Service) -> Surroundings:
    """Return the surroundings of this moment."""
    system = service.system
    return around(service, system.lookups, Moment(system.wall_ns(), system.boot_ns()))
