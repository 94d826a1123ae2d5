"""Wait on a condition, with a limit; never for a time."""

import time
from collections.abc import Callable

POLL_S = 0.05


def wait_until(holds: Callable[[], object], *, limit_s: float) -> None:
    """Return when the condition holds.

    Raises:
        AssertionError: It did not hold within the limit.
    """
    end_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end_s, f"not so within {limit_s} s"
        time.sleep(POLL_S)
