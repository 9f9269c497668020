"""Find networks by ID and by name."""

from engine.domain.ids import NetworkId
from engine.domain.network.state import Network
from engine.errors import InvalidRequest, NotFound


class NetworkIndex:
    """Maps IDs and names to the live networks. One that is being removed keeps its ID only."""

    def __init__(self) -> None:
        self.by_id: dict[NetworkId, Network] = {}
        self._by_name: dict[str, Network] = {}

    def add(self, network: Network) -> None:
        """Add a network that the index does not have."""
        self.by_id[network.id] = network
        if not network.is_going:
            self._by_name[network.name] = network

    def remove(self, network: Network) -> None:
        """Remove a network that the index has."""
        del self.by_id[network.id]
        named = self._by_name.get(network.name)
        if named is not None and named.id == network.id:
            del self._by_name[network.name]

    def find(self, reference: str) -> Network:
        """Return the network with this name, ID, or unique beginning of an ID.

        Raises:
            NotFound: there is none, or it is being removed.
            InvalidRequest: several IDs begin like that.
        """
        if found := self._by_name.get(reference):
            return found
        matching = [
            each
            for each in self.by_id.values()
            if reference and each.id.startswith(reference) and not each.is_going
        ]
        if len(matching) > 1:
            raise InvalidRequest(
                f"network {reference} is ambiguous ({len(matching)} matches found based on ID prefix)"
            )
        if not matching:
            raise NotFound(f"network {reference} not found")
        return matching[0]
