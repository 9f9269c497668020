"""Test sizes and durations, written and read."""

import pytest

from engine.cli.units import (
    binary_size,
    human_duration,
    human_size,
    parse_bytes,
    parse_bytes_or_unlimited,
    parse_cpus,
)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (3, "3B"), (999, "999B"), (1984000, "1.98MB"), (12_345_678_901, "12.3GB")],
)
def test_a_size_is_shown_in_powers_of_ten(size: int, text: str) -> None:
    assert human_size(size) == text


def test_memory_is_shown_in_powers_of_two() -> None:
    assert binary_size(25276502016) == "23.54GiB"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64m", 64 << 20),
        ("4M", 4 << 20),
        ("1", 1),
        ("1.5GiB", 3 << 29),
        ("10 kb", 10240),
        ("7b", 7),
    ],
)
def test_a_limit_is_read_in_powers_of_two(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["foo", "", "-1", "1x", "m", "1.2.3m"])
def test_what_is_no_size_is_refused_with_dockers_words(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^invalid size: '{text}'$"):
        parse_bytes(text)


def test_swap_may_be_unlimited() -> None:
    assert parse_bytes_or_unlimited("-1") == -1


@pytest.mark.parametrize(
    ("text", "nanos"),
    [("1.5", 1_500_000_000), ("2", 2 * 10**9), (".25", 250_000_000), ("1/2", 5 * 10**8)],
)
def test_cpus_are_counted_in_billionths(text: str, nanos: int) -> None:
    assert parse_cpus(text) == nanos


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x", "failed to parse x as a rational number"),
        ("0.0000000001", "value is too precise"),
        ("1/3", "value is too precise"),
    ],
)
def test_what_is_no_number_of_cpus_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_cpus(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (600, "10 minutes"),
        (3600, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (3 * 86400, "3 days"),
        (21 * 86400, "3 weeks"),
        (90 * 86400, "3 months"),
        (3 * 365 * 86400, "3 years"),
    ],
)
def test_an_age_is_shown_in_one_unit(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text
