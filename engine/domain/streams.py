"""Name streams: the aggregate to which an event belongs."""

from typing import Final

from engine.domain.ids import ContainerId, ExecId, ImageId, NetworkId

HOST: Final = "host"


def container_stream(container: ContainerId) -> str:
    """One container."""
    return f"container/{container}"


def exec_stream(container: ContainerId, execution: ExecId) -> str:
    """One exec; below its container, so that a container's history is a range of streams."""
    return f"container/{container}/exec/{execution}"


def network_stream(network: NetworkId) -> str:
    """One network."""
    return f"network/{network}"


def image_stream(image: ImageId) -> str:
    """One image."""
    return f"image/{image}"
