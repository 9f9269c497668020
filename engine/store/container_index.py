"""Find containers by ID, by name, and by what they are linked to."""

from engine.domain.container.links import links_of
from engine.domain.container.phases import NAMELESS
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.errors import Conflict, InvalidRequest, NotFound


class NoSuchContainer(NotFound):
    """No container has that name, ID or beginning of an ID."""


class NameInUse(Conflict):
    """Another container has that name."""


class ContainerIndex:
    """Maps IDs, names and link targets to the live containers."""

    def __init__(self) -> None:
        self.by_id: dict[ContainerId, Container] = {}
        self.linked_to: dict[ContainerId, set[ContainerId]] = {}
        """By the target of links: the containers that are linked to it."""
        self._by_name: dict[str, ContainerId] = {}

    def add(self, container: Container) -> None:
        """Add a container that the index does not have."""
        self.by_id[container.id] = container
        if container.phase not in NAMELESS:
            self._by_name[container.name] = container.id
        elif container.is_unreadable:  # users ask for its removal by its name
            self._by_name.setdefault(container.name, container.id)
        for link in links_of(container.spec):
            self.linked_to.setdefault(link.target, set()).add(container.id)

    def remove(self, container: Container) -> None:
        """Remove a container that the index has."""
        del self.by_id[container.id]
        if self._by_name.get(container.name) == container.id:
            del self._by_name[container.name]
        for link in links_of(container.spec):
            linked = self.linked_to.get(link.target, set())
            linked.discard(container.id)
            if not linked:
                self.linked_to.pop(link.target, None)

    def find(self, reference: str) -> Container:
        """Return the container with this ID, name, or unique beginning of an ID.

        Args:
            reference: a name with or without its slash, or an ID.

        Raises:
            NoSuchContainer: there is none.
            InvalidRequest: several IDs begin like that.
        """
        if found := self.by_id.get(ContainerId(reference)):
            return found
        if named := self._by_name.get(reference.removeprefix("/")):
            return self.by_id[named]
        matching = [
            identity for identity in self.by_id if reference and identity.startswith(reference)
        ]
        if len(matching) > 1:
            raise InvalidRequest(f"Multiple IDs found with provided prefix: {reference}")
        if not matching:
            raise NoSuchContainer(f"No such container: {reference}")
        return self.by_id[matching[0]]

    def check_name_free(self, name: str) -> None:
        """Refuse a name that another container has.

        Raises:
            NameInUse: with Docker's words.
        """
        if holder := self._by_name.get(name):
            raise NameInUse(
                f'Conflict. The container name "/{name}" is already in use by container '
                f'"{holder}". You have to remove (or rename) that container to be able to reuse '
                "that name."
            )
