"""Make archives of images as ``docker save`` writes them."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping


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


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """Return an archive of some files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()
