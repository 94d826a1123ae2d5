"""Pressure: how close this process is to what it can do, as one number for the limiter.

Why: CPU alone is blind here: a station sleeps and burns none, a blocked loop burns little. So
``resilience.policy.pressure`` combines four signals. Three are sampled here: process CPU over its
quota or one core, the loop's lag, the station's busy share over the last second. The fourth, how
long the station's queue is, is asked anew each time: a burst fills it between two samples.
Source: design.md, "Faults, drills, verdicts"; the CPU sampling of aegis' BBR (aegis:ratelimit/bbr,
500 ms).
"""

import time
from collections.abc import Callable

from kit.cgroup import available_cores
from resilience.policy.pressure import combine

SAMPLE_EVERY_S = 0.25  # aegis samples every 500 ms; twice that, since a drill lasts 20 s


class Pressure:
    """Sample the signals a few times a second; ``value`` adds the queue as it stands.

    Args:
        busy_share: The station's, 0..1.
        lag_s: The event loop's latest lag in seconds.
        wait_s: How long the station would let a newcomer wait, in seconds.
        cores: What the process may use; None asks the cgroup.
        clock: Monotonic seconds.
        cpu_clock: CPU seconds spent by this process.
    """

    def __init__(
        self,
        busy_share: Callable[[], float],
        lag_s: Callable[[], float],
        wait_s: Callable[[], float] = lambda: 0.0,
        cores: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._busy_share = busy_share
        self._lag_s = lag_s
        self._wait_s = wait_s
        self._cores = available_cores() if cores is None else cores
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._sampled_s = clock()
        self._cpu_s = cpu_clock()
        self._sampled = 0.0
        self.cpu_ratio = 0.0

    def __repr__(self) -> str:
        return f"<Pressure {self.value:.2f}, CPU {self.cpu_ratio:.2f} of {self._cores:g} cores>"

    @property
    def value(self) -> float:
        """The pressure now; O(1)."""
        return combine(0.0, 0.0, self._sampled, self._wait_s())

    def tick(self) -> None:
        """Sample when it is time; called by the watchdog's beat."""
        now_s = self._clock()
        spent_s = now_s - self._sampled_s
        if spent_s < SAMPLE_EVERY_S:
            return
        cpu_s = self._cpu_clock()
        self.cpu_ratio = (cpu_s - self._cpu_s) / (spent_s * self._cores)
        self._sampled_s, self._cpu_s = now_s, cpu_s
        self._sampled = combine(self.cpu_ratio, self._lag_s(), self._busy_share())
