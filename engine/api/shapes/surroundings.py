"""What shapes need to know beyond the thing they show, as of now or as of a moment of the past."""

from engine.api.shapes.container import Surroundings
from engine.api.times import Moment
from engine.service.engine import Service
from engine.store.projections import View


def now(service: Service) -> Moment:
    """This moment, by both clocks."""
    clock = service.ledger.clock
    return Moment(clock.wall_ns(), clock.boot_ns())


def around(service: Service, view: View, moment: Moment) -> Surroundings:
    """The surroundings that a view of the log describes."""
    settings = service.system.settings
    return Surroundings(
        data_root=settings.data_root,
        exec_root=settings.exec_root,
        networks=view.networks,
        images=view.images,
        moment=moment,
    )


def around_now(service: Service) -> Surroundings:
    """The surroundings of this moment."""
    return around(service, service.ledger.durable, now(service))
