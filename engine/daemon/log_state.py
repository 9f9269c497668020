"""Answer what drivers ask about the state of the log.

They know neither the ledger nor its views.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from engine.domain.container.spec import DEFAULT_NETWORK
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, ImageId, InstanceId, NetworkId
from engine.domain.network.state import Network
from engine.errors import EngineError
from engine.store.ledger import Ledger
from engine.store.states import kind_of


@dataclass(frozen=True, slots=True)
class LogState:
    """Answers questions about what the log says now. For the trio thread, except
    :meth:`images_needed`.
    """

    ledger: Ledger

    @property
    def instance(self) -> InstanceId:
        """Return the engine's name for itself, as its first event says."""
        return self.ledger.durable.host.instance

    def network(self, identity: NetworkId) -> Network:
        """Return a network that a container is in, and that therefore exists."""
        return self.ledger.durable.networks[identity]

    def container(self, identity: ContainerId) -> Container | None:
        """Return a container; None when it is gone."""
        return self.ledger.durable.containers.get(identity)

    def container_named(self, name: str) -> ContainerId | None:
        """Return the container that a link means; None when there is none."""
        try:
            return self.ledger.durable.container(name).id
        except EngineError:
            return None

    def running(self) -> tuple[Container, ...]:
        """Return the containers that run."""
        return tuple(each for each in self.ledger.durable.containers.values() if each.is_running)

    def gateway(self) -> str:
        """Return the address at which containers of the default network reach the host."""
        pool = self.ledger.durable.network(DEFAULT_NETWORK).ipv4
        assert pool is not None
        return pool.gateway

    def firewall(self) -> tuple[Sequence[Network], Collection[Container]]:
        """Return networks that have links, and containers that publish ports."""
        return self.ledger.durable.networks_with_links(), self.ledger.durable.publishers()

    def images_needed(self) -> Collection[ImageId]:
        """Return the images whose content must stay; of those that can't be read it may be needed.

        Called on another thread: each dictionary is copied in one step.
        """
        images = list(self.ledger.durable.images.values())
        containers = list(self.ledger.head.containers.values())
        present = {image.id for image in images if not image.removed}
        # A container of which nothing can be read names none.
        used = {each.spec.image_id for each in containers if each.spec.image_id}
        streams = self.ledger.unreadable
        unreadable = {
            ImageId(each.partition("/")[2]) for each in streams if kind_of(each) == "image"
        }
        return present | used | unreadable
