"""Collect what a container's JSON says beyond the container, as of now or as of a moment of the
past.
"""

from engine.api.containers.show import Surroundings
from engine.api.times import Moment
from engine.queries.lookups import Lookups
from engine.service.engine import Service


def around(service: Service, lookups: Lookups, moment: Moment) -> Surroundings:
    """The surroundings of a moment, in which ``lookups`` finds things."""
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
    """The surroundings of this moment."""
    system = service.system
    return around(service, system.lookups, Moment(system.wall_ns(), system.boot_ns()))
