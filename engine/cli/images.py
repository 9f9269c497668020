"""Run ``images``, ``rmi``, ``import``, ``load`` and ``tag``."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from engine.cli import output
from engine.cli.columns import short_id
from engine.cli.command import Command, Invocation
from engine.cli.engine import Query
from engine.cli.failures import EngineRefused, Failure
from engine.cli.filters import FILTER, encoded
from engine.cli.flags import switch, text, texts
from engine.cli.tables import Layout
from engine.cli.template.values import Fields
from engine.cli.times import created_at
from engine.cli.units import human_duration, human_size

_TABLE: Final = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
_DIGESTS: Final = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
_TITLES: Final = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "Containers": "CONTAINERS",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}
_NONE: Final = "<none>"
_BLOCK_BYTES: Final = 1 << 20

Image = Mapping[str, Any]  # Any: JSON of the API


def _rows(image: Image, *, digests: bool) -> Iterator[tuple[str, str, str]]:
    """Yield repository, tag and digest of each line that an image has in the list."""
    tags = [tag for tag in image.get("RepoTags") or () if tag != f"{_NONE}:{_NONE}"]
    by_repository: dict[str, list[str]] = {}
    for reference in image.get("RepoDigests") or ():
        repository, _, digest = str(reference).partition("@")
        by_repository.setdefault(repository, []).append(digest)
    if not tags:
        repository, found = next(iter(by_repository.items()), (_NONE, [_NONE]))
        yield repository, _NONE, found[0]
    for reference in tags:
        repository, _, tag = str(reference).rpartition(":")
        for digest in (by_repository.get(repository) or [_NONE]) if digests else [_NONE]:
            yield repository, tag, digest


def _fields(image: Image, row: tuple[str, str, str], *, truncated: bool) -> Fields:
    repository, tag, digest = row
    size, created = int(image["Size"]), int(image["Created"])
    columns: dict[str, Callable[[], Any]] = {
        "ID": lambda: short_id(image["Id"]) if truncated else image["Id"],
        "Repository": lambda: repository,
        "Tag": lambda: tag,
        "Digest": lambda: digest,
        "CreatedSince": lambda: (
            f"{human_duration(time.time() - created)} ago" if created > 0 else "N/A"
        ),
        "CreatedAt": lambda: created_at(created),
        "Size": lambda: human_size(size),
        "Containers": lambda: _known(image.get("Containers", -1)),
        "VirtualSize": lambda: human_size(size, digits=4),
        "SharedSize": lambda: _known(image.get("SharedSize", -1), human_size),
        "UniqueSize": lambda: "N/A",
    }
    return Fields("*formatter.imageContext", columns)


def _known(value: int, show: Callable[[int], str] = str) -> str:
    return "N/A" if value < 0 else show(value)


def _images(invocation: Invocation) -> int:
    options = invocation.options
    digests = options.on("digests")
    layout = Layout(options.text("format"), _DIGESTS if digests else _TABLE, _TITLES)
    reference = [("reference", name) for name in invocation.arguments]
    query = {
        "all": "1" if options.on("all") else "",
        "filters": encoded([*options.many("filter"), *reference]),
        "digests": "1" if digests else "",
    }
    images: list[Image] = invocation.engine.ask("GET", "/images/json", query)
    images.sort(key=lambda image: -int(image["Created"]))
    truncated = not options.on("no-trunc")
    if options.on("quiet") and not options.text("format"):
        ids = [image["Id"] for image in images for _ in _rows(image, digests=False)]
        output.write("".join(f"{short_id(name) if truncated else name}\n" for name in ids))
        return 0
    wants_digests = digests or ".Digest" in options.text("format")
    layout.show(
        _fields(image, row, truncated=truncated)
        for image in images
        for row in _rows(image, digests=wants_digests)
    )
    return 0


def _rmi(invocation: Invocation) -> int:
    options = invocation.options
    query = {
        "force": "1" if options.on("force") else "",
        "noprune": "1" if options.on("no-prune") else "",
    }
    code = 0
    for image in invocation.arguments:
        try:
            report = invocation.engine.ask("DELETE", f"/images/{image}", query)
        except EngineRefused as refused:
            output.error_line(str(refused))
            code = 0 if options.on("force") and refused.status == 404 else 1
            continue
        for entry in report:
            output.line("\n".join(f"{what}: {name}" for what, name in entry.items()))
    return code


def _tag(invocation: Invocation) -> int:
    source, target = invocation.arguments
    last = target.rpartition("/")[2]
    repository, tag = target, "latest"
    if ":" in last:
        repository, _, tag = target.rpartition(":")
    invocation.engine.ask("POST", f"/images/{source}/tag", {"repo": repository, "tag": tag})
    return 0


def _import(invocation: Invocation) -> int:
    options = invocation.options
    source, *reference = invocation.arguments
    query: Query = {
        "changes": options.many("change"),
        "fromSrc": source if "://" in source else "-",
        "message": options.text("message"),
        "platform": options.text("platform"),
        "repo": reference[0] if reference else "",
    }
    engine = invocation.engine
    blocks = iter(()) if "://" in source else _blocks(source)
    _show_progress(engine.upload("/images/create", query, "text/plain", blocks).lines())
    return 0


def _load(invocation: Invocation) -> int:
    options = invocation.options
    path = options.text("input")
    if not path and _typed_by_hand():
        raise Failure("requested load from stdin, but stdin is empty")
    blocks = _blocks(path or "-")
    query = {"quiet": "1"}
    response = invocation.engine.upload("/images/load", query, "application/x-tar", blocks)
    _show_progress(response.lines())
    return 0


def _typed_by_hand() -> bool:
    """True if standard input is a terminal, so an archive would have to be typed."""
    return os.isatty(output.STDIN)


def _show_progress(lines: Iterator[bytes]) -> None:
    """Show the engine's messages; raise Failure with its error, which comes after status 200."""
    for line in lines:
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise Failure(str(message["error"]))
        if "stream" in message:
            output.write(str(message["stream"]))
        elif "status" in message:
            output.line(str(message["status"]))


def _blocks(path: str) -> Iterator[bytes]:
    """Yield the content of a file, or of standard input."""
    try:
        fd = output.STDIN if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Failure(f"open {path}: {(error.strerror or '').lower()}") from None
    try:
        while block := os.read(fd, _BLOCK_BYTES):
            yield block
    finally:
        if fd != output.STDIN:
            os.close(fd)


COMMANDS: Final = {
    "images": Command(
        "images [OPTIONS] [REPOSITORY[:TAG]]",
        "List images",
        _images,
        (
            switch("all", "a", "Show all images (default hides intermediate images)"),
            switch("digests", "", "Show digests"),
            FILTER,
            text("format", "", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
            switch("no-trunc", "", "Don't truncate output"),
            switch("quiet", "q", "Only show image IDs"),
        ),
        most=1,
    ),
    "rmi": Command(
        "rmi [OPTIONS] IMAGE [IMAGE...]",
        "Remove one or more images",
        _rmi,
        (
            switch("force", "f", "Force removal of the image"),
            switch("no-prune", "", "Do not delete untagged parents"),
        ),
        least=1,
    ),
    "import": Command(
        "import [OPTIONS] file|- [REPOSITORY[:TAG]]",
        "Import the contents from a tarball to create a filesystem image",
        _import,
        (
            texts("change", "c", "Apply Dockerfile instruction to the created image"),
            text("message", "m", "Set commit message for imported image"),
            text("platform", "", "Set platform if server is multi-platform capable"),
        ),
        least=1,
        most=2,
    ),
    "load": Command(
        "load [OPTIONS]",
        "Load an image from a tar archive or STDIN",
        _load,
        (
            text("input", "i", "Read from tar archive file, instead of STDIN"),
            switch("quiet", "q", "Suppress the load output"),
        ),
        most=0,
    ),
    "tag": Command(
        "tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
        "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
        _tag,
        least=2,
        most=2,
    ),
}
