"""Durations as people write them on a command line: ``500ms``, ``60s``, ``2m``."""

import re

from kit.errors import ConfigError

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PATTERN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def parse_duration(text: str, option: str) -> float:
    """Return seconds > 0.

    Args:
        text: A number and a unit, e.g. ``60s``.
        option: The option's name, for the message.

    Raises:
        ConfigError: Not of that form, or zero.
    """
    match = _PATTERN.fullmatch(text.strip())
    seconds = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
    if seconds <= 0:
        raise ConfigError(
            f"{option} {text!r} is not a duration: write a positive number and a unit, "
            "such as 500ms, 60s or 2m"
        )
    return seconds
