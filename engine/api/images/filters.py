"""Apply the filters of the list and prune of images."""

from collections.abc import Callable, Iterator
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
    """Yield the images that ``docker images`` shows, each only with the names that were asked
    for.
    """
    dangling = parse_boolean_filter(filters, "dangling")
    patterns = filters.values("reference")
    is_in_time = _in_time(service, filters)
    for image in service.images.all():
        if not (filters.labels(image.contents.config.labels) and is_in_time(image)):
            continue
        if dangling is not None and dangling is bool(image.references):
            continue
        if not patterns:
            yield image
        elif kept := tuple(each for each in image.references if _fits_any(each, patterns)):
            yield replace(image, references=kept)


def prunable(service: Service, filters: Filters) -> Callable[[Image], bool]:
    """Return the function that decides whether an unused image is pruned.

    Raises:
        InvalidRequest: more than one moment to stop at.
    """
    if len(filters.values("until")) > 1:
        raise InvalidRequest("more than one until filter specified")
    is_in_time = _in_time(service, filters)
    return lambda image: filters.prunes(image.contents.config.labels) and is_in_time(image)


def _in_time(service: Service, filters: Filters) -> Callable[[Image], bool]:
    """Return the function that decides whether an image was made within ``until``, ``before`` and
    ``since``.
    """
    now_ns = service.system.wall_ns()
    before_ns = [parse_until(value, now_ns) for value in filters.values("until")]
    before_ns += [_made_ns(service.images.get(word)) for word in filters.values("before")]
    since_ns = [_made_ns(service.images.get(word)) for word in filters.values("since")]

    def is_in_time(image: Image) -> bool:
        made_ns = _made_ns(image)
        return all(made_ns < limit for limit in before_ns) and all(
            made_ns > limit for limit in since_ns
        )

    return is_in_time


def _made_ns(image: Image) -> int:
    return parse_stamp(image.contents.created) or 0


def _fits_any(reference: str, patterns: tuple[str, ...]) -> bool:
    """Return whether a pattern matches a reference, with its tag or without."""
    parsed = parse_reference(reference)
    return any(
        path_matches(pattern, parsed.familiar) or path_matches(pattern, parsed.familiar_name)
        for pattern in patterns
    )
