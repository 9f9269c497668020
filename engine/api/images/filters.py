"""Which images the list and ``prune`` are about: Docker's filters on images."""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from engine.api.filters import Filters, parse_boolean_filter
from engine.api.http.path_patterns import path_matches
from engine.api.times import parse_stamp, parse_until
from engine.domain.image.reference import parse_reference
from engine.domain.image.state import Image
from engine.errors import InvalidRequest
from engine.service.engine import Service

LIST_FILTERS: Final = frozenset({"dangling", "label", "before", "since", "reference", "until"})
PRUNE_FILTERS: Final = frozenset({"dangling", "label", "label!", "until"})


def listed(service: Service, filters: Filters) -> Iterator[Image]:
    """The images that ``docker images`` shows, each with the names alone that were asked for."""
    dangling = parse_boolean_filter(filters, "dangling")
    patterns = filters.values("reference")
    for image in _chosen(service, filters):
        if dangling is not None and dangling is bool(image.references):
            continue
        if not patterns:
            yield image
        elif kept := tuple(each for each in image.references if _fits_any(each, patterns)):
            yield replace(image, references=kept)


def prunable(service: Service, filters: Filters) -> Iterator[Image]:
    """The images that no container uses: those without a name, or with ``dangling=false`` all of them.

    Raises:
        InvalidRequest: more than one moment to stop at.
    """
    if len(filters.values("until")) > 1:
        raise InvalidRequest("more than one until filter specified")
    named_too = parse_boolean_filter(filters, "dangling") is False
    used = service.images.use_counts()
    for image in _chosen(service, filters):
        kept_out = filters.values("label!") and filters.labels(
            image.contents.config.labels, "label!"
        )
        if image.id not in used and (named_too or not image.references) and not kept_out:
            yield image


def _chosen(service: Service, filters: Filters) -> Iterator[Image]:
    """By their labels, and by when they were made."""
    now_ns = service.system.wall_ns()
    before_ns = [parse_until(value, now_ns) for value in filters.values("until")]
    before_ns += [_made_ns(service.images.get(word)) for word in filters.values("before")]
    since_ns = [_made_ns(service.images.get(word)) for word in filters.values("since")]
    for image in service.images.all():
        made_ns = _made_ns(image)
        if (
            filters.labels(image.contents.config.labels)
            and all(made_ns < limit for limit in before_ns)
            and all(made_ns > limit for limit in since_ns)
        ):
            yield image


def _made_ns(image: Image) -> int:
    return parse_stamp(image.contents.created) or 0


def _fits_any(reference: str, patterns: tuple[str, ...]) -> bool:
    """Whether a reference, with its tag or without, has the shape of a pattern."""
    parsed = parse_reference(reference)
    return any(
        path_matches(pattern, parsed.familiar) or path_matches(pattern, parsed.familiar_name)
        for pattern in patterns
    )
