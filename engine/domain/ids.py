"""Define the types of IDs: strings at run time, kept apart by the type checker."""

import re
from typing import Final, NewType

ContainerId = NewType("ContainerId", str)
"""64 lower-case hexadecimal digits."""
ExecId = NewType("ExecId", str)
"""64 lower-case hexadecimal digits."""
NetworkId = NewType("NetworkId", str)
"""64 lower-case hexadecimal digits."""
SandboxId = NewType("SandboxId", str)
"""16 lower-case hexadecimal digits: one network namespace of ours."""
InstanceId = NewType("InstanceId", str)
"""32 lower-case hexadecimal digits: one data root, whichever daemon serves it."""
Digest = NewType("Digest", str)
"""``sha256:`` and 64 lower-case hexadecimal digits, of bytes as stored (OCI image-spec,
descriptor.md)."""
ImageId = NewType("ImageId", str)
"""The digest of an image's config (OCI image-spec, config.md)."""
DiffId = NewType("DiffId", str)
"""The digest of a layer's uncompressed tar (OCI image-spec, config.md)."""
ChainId = NewType("ChainId", str)
"""The digest of a stack of layers (OCI image-spec, config.md)."""

SHORT: Final = 12
"""How many digits of an ID are for people."""

_HEX_ID: Final = re.compile(r"[0-9a-f]{64}")


def is_full_id(text: str) -> bool:
    """Return whether ``text`` is a whole container, exec or network ID, rather than a name or a
    prefix.
    """
    return _HEX_ID.fullmatch(text) is not None
