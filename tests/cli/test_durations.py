"""Durations on a command line."""

import pytest

from kit.errors import ConfigError
from squall.durations import parse_duration

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("60s", 60.0), ("2m", 120.0), ("1h", 3600.0), ("1.5s", 1.5)],
)
def test_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    """Milliseconds, seconds, minutes and hours are understood."""
    assert parse_duration(text, "--ttl") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "60", "s", "-1s", "0s", "1 s", "1d", "nan"])
def test_anything_else_is_refused_with_the_option_and_an_example(text: str) -> None:
    """The message names the option, the value and what to write."""
    with pytest.raises(ConfigError, match=r"--ttl .* such as 500ms"):
        parse_duration(text, "--ttl")
