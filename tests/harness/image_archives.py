"""Make archives of images as ``docker save`` writes them."""

import hashlib
import json
from collections.abc import Mapping

from tests.harness.tars import tar_of


def image_archive(name: str, labels: Mapping[str, str] | None = None) -> bytes:
    """Return an archive of one image with one small layer."""
    layer = tar_of({name: b"content"})
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config", "RepoTags": [f"{name}:latest"], "Layers": ["layer"]}]
    return tar_of(
        {
            "config": json.dumps(config).encode(),
            "layer": layer,
            "manifest.json": json.dumps(manifest).encode(),
        }
    )
