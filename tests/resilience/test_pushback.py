"""Push-back of gRPC: milliseconds become a wait, and what can't be read says "don't"."""

import pytest

from resilience.pushback import (
    DONT_RETRY_S,
    GRPC_PUSHBACK_KEY,
    format_grpc_pushback,
    parse_grpc_pushback,
)


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
