"""Push-back on the wire: seconds, dates and milliseconds become one wait."""

import pytest

from resilience.pushback import (
    DONT_RETRY_S,
    GRPC_PUSHBACK_KEY,
    format_grpc_pushback,
    parse_grpc_pushback,
    parse_retry_after_or_date,
)

NOON_UNIX_S = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the date of the RFC's examples


@pytest.mark.paper
@pytest.mark.parametrize(
    "date",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ],
)
def test_each_form_of_a_date_is_read(date: str) -> None:
    """RFC 9110, 5.6.7: three forms of one moment; 30 s before it the wait is 30 s."""
    assert parse_retry_after_or_date(date, NOON_UNIX_S - 30) == 30.0
    assert parse_retry_after_or_date(date, NOON_UNIX_S - 0.25) == 0.25


def test_seconds_and_the_ends_of_a_date() -> None:
    """120 s; a moment that has passed is now; nobody waits longer than a day."""
    assert parse_retry_after_or_date("120", NOON_UNIX_S) == 120.0
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert parse_retry_after_or_date(date, NOON_UNIX_S + 5) == 0.0
    assert parse_retry_after_or_date(date, 0.0) == 86_400.0
    assert parse_retry_after_or_date("Sun, 06 Nov 1994 08:49:37 -0000", NOON_UNIX_S - 9) == 9.0


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5", "Sun, 06 Nov"])
def test_neither_seconds_nor_a_date_is_an_error(text: str) -> None:
    """The message shows what came."""
    with pytest.raises(ValueError, match="retry-after"):
        parse_retry_after_or_date(text, NOON_UNIX_S)


@pytest.mark.paper
@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("0", 0.0),
        ("15", 0.015),
        ("2147483647", 2_147_483.647),
        ("-1", DONT_RETRY_S),
        ("-0", DONT_RETRY_S),
        ("2147483648", DONT_RETRY_S),
        ("9999999999", DONT_RETRY_S),
        ("007", DONT_RETRY_S),
        ("1.5", DONT_RETRY_S),
        ("", DONT_RETRY_S),
        ("soon", DONT_RETRY_S),
    ],
)
def test_grpc_push_back_is_milliseconds_or_never(text: str, wait_s: float) -> None:
    """A6: signed 32 bits, no leading zeros; negative or unreadable asks for no retry."""
    assert parse_grpc_pushback(text) == wait_s


def test_grpc_push_back_is_written_rounded_up() -> None:
    """Nobody comes back a fraction too early."""
    assert GRPC_PUSHBACK_KEY == "grpc-retry-pushback-ms"
    assert [format_grpc_pushback(wait_s) for wait_s in (0.0, 0.0001, 1.5, -1.0, 1e9)] == [
        "0",
        "1",
        "1500",
        "-1",
        "2147483647",
    ]
    assert parse_grpc_pushback(format_grpc_pushback(0.25)) == 0.25
