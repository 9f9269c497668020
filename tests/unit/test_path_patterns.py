"""Test Go's path.Match, as the filters of images use it; the table was compared with the reference
daemon's answers.
"""

import pytest

from engine.api.http.path_patterns import path_matches
from engine.errors import InvalidRequest


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("busybox", "busybox", True),
        ("busy", "busybox", False),
        ("*", "busybox:latest", True),
        ("*", "some/thing", False),
        ("*/*", "some/thing", True),
        ("some*", "some/thing", False),
        ("*a*b*c", "xaybzc", True),
        ("*a*b*c", "xaybz", False),
        ("a*a", "a", False),
        ("**a", "bba", True),
        ("s[xy]m?/t*:1", "sxme/thing:1", True),
        ("[^a-c]x", "dx", True),
        ("[^a-c]x", "bx", False),
        ("[a\\-z]", "-", True),
        ("[a\\-z]", "b", False),
        ("[z-a]", "m", False),
        ("[^z-a]", "m", True),
        ("a\\*b", "a*b", True),
        ("a\\*b", "axb", False),
        ("a.b", "axb", False),
        ("?", "/", False),
        ("", "", True),
    ],
)
def test_a_pattern_is_the_shape_of_a_whole_text(pattern: str, text: str, matches: bool) -> None:
    assert path_matches(pattern, text) is matches


@pytest.mark.parametrize("pattern", ["[", "[a", "[]", "[]a]", "[-]", "[x-]", "[-x]", "a\\", "[^]"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidRequest, match="syntax error in pattern"):
        path_matches(pattern, "a")


def test_matching_many_stars_takes_linear_time() -> None:
    """An implementation that backtracks would not end here; the test's own time limit would show
    it.
    """
    assert not path_matches("*a" * 500 + "b", "a" * 255)
