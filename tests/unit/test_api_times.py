"""Test times, durations and filters, as clients write them."""

import pytest

from engine.api.filters import parse_filters
from engine.api.times import (
    NEVER,
    Moment,
    human_duration,
    parse_moment,
    parse_stamp,
    parse_until,
    stamp,
)
from engine.errors import InvalidRequest

DAY_S = 24 * 3600


@pytest.mark.parametrize(
    ("wall_ns", "text"),
    [
        (0, NEVER),
        (1_795_462_213_134_740_082, "2026-11-23T19:30:13.134740082Z"),
        (1_795_462_213_134_740_000, "2026-11-23T19:30:13.13474Z"),
        (1_795_462_213_000_000_000, "2026-11-23T19:30:13Z"),
    ],
)
def test_a_stamp_keeps_its_nanoseconds_and_drops_idle_zeros(wall_ns: int, text: str) -> None:
    assert stamp(wall_ns) == text
    assert wall_ns == 0 or parse_stamp(text) == wall_ns


def test_a_stamp_may_have_an_offset() -> None:
    assert parse_stamp("2026-11-23T20:30:13.5+01:00") == 1_795_462_213_500_000_000
    assert parse_stamp("2026-13-23T20:30:13Z") is None


@pytest.mark.parametrize(
    ("text", "moment_ns"),
    [
        ("", None),
        ("0", None),
        ("7", 7_000_000_000),
        ("7.5", 7_500_000_000),
        ("7.000000001", 7_000_000_001),
    ],
)
def test_a_moment_is_unix_time(text: str, moment_ns: int | None) -> None:
    assert parse_moment(text) == moment_ns


@pytest.mark.parametrize("text", ["x", "1e9", "1:2", "-", "--1", "9" * 5000])
def test_a_malformed_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid syntax"):
        parse_moment(text)


def test_until_may_be_a_span_before_now() -> None:
    now_ns = 100 * 3600 * 10**9

    assert parse_until("1h30m", now_ns) == now_ns - 5400 * 10**9
    assert parse_until("7", now_ns) == 7 * 10**9


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (5399, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (2 * DAY_S, "2 days"),
        (13 * DAY_S, "13 days"),
        (14 * DAY_S, "2 weeks"),
        (59 * DAY_S, "8 weeks"),
        (60 * DAY_S, "2 months"),
        (729 * DAY_S, "24 months"),
        (730 * DAY_S, "2 years"),
    ],
)
def test_a_duration_is_shown_as_docker_shows_it(seconds: int, words: str) -> None:
    assert human_duration(seconds * 10**9) == words


def test_uptime_follows_the_clock_that_does_not_jump() -> None:
    assert Moment(wall_ns=10, boot_ns=1000).since(wall_ns=10**18, boot_ns=400) == 600
    assert Moment(wall_ns=10).since(wall_ns=10**18) == 0


def test_filters_are_a_map_of_lists_or_of_ignored_booleans() -> None:
    for text in ('{"name":["a","b"]}', '{"name":{"a":true,"b":false}}'):
        assert parse_filters(text, {"name"}).values("name") == ("a", "b")
    assert not parse_filters("null", {"name"})


@pytest.mark.parametrize(
    "text", ["bad", "[]", '{"name":"a"}', '{"name":[1]}', '{"other":["a"]}', "{" * 10000]
)
def test_filters_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid filter"):
        parse_filters(text, {"name"})


def test_patterns_match_anywhere_and_take_bounded_time() -> None:
    filters = parse_filters('{"name":["^we","(a+)+$","["]}', {"name"})

    assert filters.pattern("name", "web")
    assert not filters.pattern("name", "a" * 200 + "b")
    assert not filters.pattern("name", "owe")


def test_every_label_has_to_match() -> None:
    filters = parse_filters('{"label":["a","b=1"]}', {"label"})

    assert filters.labels({"a": "x", "b": "1"})
    assert not filters.labels({"a": "x", "b": "2"})
    assert not filters.labels({"b": "1"})
