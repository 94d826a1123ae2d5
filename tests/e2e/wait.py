"""Wait on a condition, with a limit; never for a time."""

import threading
import time
from collections.abc import Callable

POLL_S = 0.05
WAKE_S = 0.01
STANDSTILL_S = 0.1  # drills.md R6: a loop that is later than this says something of the machine


def wait_until(holds: Callable[[], object], *, limit_s: float) -> None:
    """Return when the condition holds.

    Raises:
        AssertionError: It did not hold within the limit.
    """
    end_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end_s, f"not so within {limit_s} s"
        time.sleep(POLL_S)


def on_a_moving_machine(check: Callable[[], None], *, tries: int = 3) -> None:
    """Make a check that budgets of a second are part of; again if the machine stood still.

    What drills.md R6 is to drills: a request whose second passed while nobody ran says something of
    the machine. What fails on a machine that moved fails the test at once.

    Raises:
        AssertionError: The check's own, or the last one's.
    """
    while True:
        tries -= 1
        with _Standstill() as standstill:
            try:
                check()
                return
            except AssertionError:
                if standstill.longest_s < STANDSTILL_S or tries == 0:
                    raise


class _Standstill:
    """A thread that wakes every 10 ms, and how much later it did at worst."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Standstill":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        before_s = time.monotonic()
        while not self._over.wait(WAKE_S):
            now_s = time.monotonic()
            self.longest_s = max(self.longest_s, now_s - before_s - WAKE_S)
            before_s = now_s
