"""Convert images to Docker's JSON."""

from pathlib import Path
from typing import Final

from engine.api.containers.show import STORAGE_DRIVER
from engine.api.http.json_bodies import Json
from engine.api.http.requests import ApiVersion
from engine.api.images.answers import ImageRemoved, ImageStep, ImageSummary
from engine.api.times import NEVER, SECOND_NS, parse_stamp, stamp
from engine.domain import naming
from engine.domain.image.config import HistoryEntry, ImageConfig
from engine.domain.image.reference import parse_reference
from engine.domain.image.removal import Removal
from engine.domain.image.state import Image

_UNTAGGED_EMPTY_SINCE: Final = (1, 43)
_NO_VIRTUAL_SIZE_SINCE: Final = (1, 44)
_NO_BUILD_CONTAINER_SINCE: Final = (1, 45)
"""Older clients expect the fields about the container that an image was committed from."""
_NO_CONTAINER_FIELDS_SINCE: Final = (1, 50)
_CONTAINER_FIELDS: Final[Json] = {
    "Hostname": "",
    "Domainname": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Image": "",
}
"""Fields of a container's configuration that older clients expect in an image's, without
meaning."""


def created_s(text: str) -> int:
    """Return the Unix time of an image's own RFC 3339 stamp; 0 if it has none."""
    return (parse_stamp(text) or 0) // SECOND_NS


def repo_tags(image: Image) -> list[str]:
    """Return the tags that point at an image, as people write them."""
    references = map(parse_reference, image.references)
    return [reference.familiar for reference in references if not reference.digest]


def _repo_digests(image: Image) -> list[str]:
    references = map(parse_reference, image.references)
    return [reference.familiar for reference in references if reference.digest]


def image_summary_json(
    image: Image, version: ApiVersion, containers: int = -1, shared_bytes: int = -1
) -> ImageSummary:
    """Return one element of ``GET /images/json``: ImageSummary. -1 means that a value was not
    counted.
    """
    contents, tags, digests = image.contents, repo_tags(image), _repo_digests(image)
    if not tags and not digests and version < _UNTAGGED_EMPTY_SINCE:
        tags, digests = ["<none>:<none>"], ["<none>@<none>"]
    summary: ImageSummary = {
        "Containers": containers,
        "Created": created_s(contents.created),
        "Id": image.id,
        "Labels": contents.config.labels or None,
        "ParentId": image.parent or "",
        "RepoDigests": digests,
        "RepoTags": tags,
        "SharedSize": shared_bytes,
        "Size": contents.size_bytes,
    }
    if version < _NO_VIRTUAL_SIZE_SINCE:
        summary["VirtualSize"] = contents.size_bytes
    return summary


def image_inspect_json(image: Image, version: ApiVersion, data_root: Path) -> Json:
    """Return ``GET /images/{name}/json``: ImageInspect."""
    contents = image.contents
    inspected: Json = {
        "Id": image.id,
        "RepoTags": repo_tags(image),
        "RepoDigests": _repo_digests(image),
        "Parent": image.parent or "",
        "Comment": contents.comment,
        "Created": contents.created or NEVER,
        "DockerVersion": contents.docker_version,
        "Author": contents.author,
        "Config": image_config_json(contents.config),
        "Architecture": contents.architecture,
        "Os": contents.os,
        "Size": contents.size_bytes,
        "GraphDriver": _graph_driver_json(image, data_root),
        "RootFS": {"Type": "layers", "Layers": [layer.diff_id for layer in contents.layers]},
        "Metadata": {"LastTagTime": stamp(image.tagged_ns)},
    }
    if contents.variant:
        inspected["Variant"] = contents.variant
    if version < _NO_VIRTUAL_SIZE_SINCE:
        inspected["VirtualSize"] = contents.size_bytes
    if version < _NO_CONTAINER_FIELDS_SINCE:
        inspected["Config"] |= _CONTAINER_FIELDS
    if version < _NO_BUILD_CONTAINER_SINCE:
        empty = image_config_json(ImageConfig()) | _CONTAINER_FIELDS
        inspected |= {"Container": "", "ContainerConfig": empty}
    return inspected


def image_config_json(config: ImageConfig) -> Json:
    """Return Docker's Config of an image: what containers made from it start with."""
    shown: Json = {
        "User": config.user,
        "Env": config.env or None,
        "Cmd": config.cmd or None,
        "Volumes": {path: {} for path in config.volumes} or None,
        "WorkingDir": config.working_dir,
        "Entrypoint": config.entrypoint or None,
        "OnBuild": config.on_build or None,
        "Labels": config.labels or None,
    }
    optional: Json = {
        "ExposedPorts": {port: {} for port in config.exposed_ports},
        "Healthcheck": config.healthcheck,
        "StopSignal": config.stop_signal,
        "StopTimeout": config.stop_timeout,
        "Shell": config.shell,
    }
    return shown | {name: value for name, value in optional.items() if value}


def _graph_driver_json(image: Image, data_root: Path) -> Json:
    layers = [
        str(naming.layer_directory(data_root, chain)) for chain in reversed(image.contents.chain)
    ]
    directories: Json = {"UpperDir": layers[0] if layers else ""}
    if layers[1:]:
        directories["LowerDir"] = ":".join(layers[1:])
    return {"Name": STORAGE_DRIVER, "Data": directories}


def image_history_json(image: Image) -> list[ImageStep]:
    """Return ``GET /images/{name}/history``: the newest first; only the newest has an ID, which is
    the image's.
    """
    sizes = iter([layer.size_bytes for layer in image.contents.layers])
    steps = [
        _step_json(entry, 0 if entry.empty_layer else next(sizes, 0))
        for entry in image.contents.history
    ]
    steps.reverse()
    if steps:
        steps[0] |= {"Id": image.id, "Tags": repo_tags(image) or None}
    return steps


def _step_json(entry: HistoryEntry, size_bytes: int) -> ImageStep:
    return {
        "Id": "<missing>",
        "Created": created_s(entry.created),
        "CreatedBy": entry.created_by,
        "Tags": None,
        "Size": size_bytes,
        "Comment": entry.comment,
    }


def removed_json(removal: Removal) -> list[ImageRemoved]:
    """Return ``DELETE /images/{name}``: what happened to names, image and layers."""
    lines: list[ImageRemoved] = [{"Untagged": reference} for reference in removal.untagged]
    if removal.deleted is not None:
        lines.append({"Deleted": removal.deleted})
        lines += [{"Deleted": layer.chain_id} for layer in removal.layers]
    return lines
