"""Name streams: the aggregate to which an event belongs."""

from typing import Final

from engine.domain.ids import ContainerId, ExecId, ImageId, NetworkId

HOST: Final = "host"


def container_stream(container: ContainerId) -> str:
    """Return the name of a container's stream."""
    return f"container/{container}"


def exec_stream(container: ContainerId, execution: ExecId) -> str:
    """Return the name of an exec's stream: below its container's, so that a container's history is
    a range of streams.
    """
    return f"container/{container}/exec/{execution}"


def network_stream(network: NetworkId) -> str:
    """Return the name of a network's stream."""
    return f"network/{network}"


def image_stream(image: ImageId) -> str:
    """Return the name of an image's stream."""
    return f"image/{image}"
