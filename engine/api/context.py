"""What shapes need to know beyond the thing they show, as of now or as of a moment of the past."""

from collections.abc import Iterator

from engine.api.containers.show import Surroundings
from engine.api.times import Moment
from engine.domain.container.links import links_of
from engine.domain.ids import ContainerId
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
        link_names=lambda target: _link_names(view, target),
    )


def _link_names(view: View, target: ContainerId) -> Iterator[str]:
    """What a container is called by those that are linked to it, as Docker lists it: ``/LINKED/ALIAS``."""
    for identity in view.linked_to.get(target, ()):
        linked = view.containers[identity]
        yield from (
            f"/{linked.name}/{link.alias}"
            for link in links_of(linked.spec)
            if link.target == target
        )


def around_now(service: Service) -> Surroundings:
    """The surroundings of this moment."""
    return around(service, service.ledger.durable, now(service))
