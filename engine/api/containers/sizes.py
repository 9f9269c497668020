"""Measure how much space containers take, when a client asks."""

from collections.abc import Collection, Mapping

from engine.api.containers.show import Sizes
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.service.engine import Service


async def sizes_of(
    service: Service, containers: Collection[Container]
) -> Mapping[ContainerId, Sizes]:
    """Measure what each container has written, and add the size of its image."""
    own = await service.files.sizes_bytes(containers)
    images = service.system.lookups.images
    found: dict[ContainerId, Sizes] = {}
    for each in containers:
        image = images.get(each.spec.image_id)
        below_bytes = image.contents.size_bytes if image else 0
        found[each.id] = Sizes(own[each.id], own[each.id] + below_bytes)
    return found
