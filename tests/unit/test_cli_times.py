"""Test the forms of times that users write and read."""

import time
from collections.abc import Iterator

import pytest

from engine.cli.times import (
    NANO,
    ansi_c,
    created_at,
    local_rfc3339,
    parse_duration,
    parse_moment,
    parse_timestamp,
    unix_seconds,
)

NOW_NS = 1795461697 * NANO + 360084201


@pytest.fixture(autouse=True)
def _in_a_zone_with_summer_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("written", "moment_ns"),
    [
        ("now", NOW_NS),
        ("10m", NOW_NS - 600 * NANO),
        ("10m ago", NOW_NS - 600 * NANO),
        ("1h30m", NOW_NS - 5400 * NANO),
        ("1.5s", NOW_NS - 1_500_000_000),
        ("2d", NOW_NS - 172800 * NANO),
        ("0s", NOW_NS),
        ("1795461697", 1795461697 * NANO),
        ("1795461697.5", 1795461697 * NANO + 500_000_000),
        ("1795461697.123456789", 1795461697 * NANO + 123456789),
        ("2026-11-23T19:21:37Z", 1795461697 * NANO),
        ("2026-11-23T19:21:37.360084201Z", NOW_NS),
        ("2026-11-23T20:21:37+01:00", 1795461697 * NANO),
        ("2026-11-23 20:21:37", 1795461697 * NANO),
        ("2026-11-23 20:21", 1795461660 * NANO),
        ("2026-11-23T20:21", 1795461660 * NANO),
        ("2026-11-23", 1795388400 * NANO),
        ("2026-07-01 12:00", 1782900000 * NANO),
    ],
)
def test_a_moment_is_understood_to_the_nanosecond(written: str, moment_ns: int) -> None:
    assert parse_moment(written, NOW_NS) == moment_ns


@pytest.mark.parametrize("written", ["", "yesterday", "10x", "2026-13-01", "10m later", "m"])
def test_what_is_no_moment_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        parse_moment(written, NOW_NS)


def test_a_duration_may_have_many_parts_and_fractions() -> None:
    assert parse_duration("1h2m3.5s4ms") == (3723 * NANO + 500_000_000) + 4_000_000


def test_a_moment_goes_to_dockers_api_in_seconds_and_nanoseconds() -> None:
    assert unix_seconds(NOW_NS) == "1795461697.360084201"
    assert unix_seconds(5 * NANO) == "5"


def test_local_time_keeps_all_nine_digits_and_names_its_offset() -> None:
    assert local_rfc3339(NOW_NS) == "2026-11-23T20:21:37.360084201+01:00"
    assert created_at(1795461697) == "2026-11-23 20:21:37 +0100 CET"


def test_gos_zero_time_is_no_time() -> None:
    assert parse_timestamp("0001-01-01T00:00:00Z") == 0
    assert parse_timestamp("2026-11-23T19:21:37.360084201Z") == NOW_NS
    assert ansi_c("2026-05-07T21:09:36.000000000+00:00") == "Thu May  7 21:09:36 2026"
