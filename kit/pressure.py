"""Pressure: how close this process is to what it can do, as one number for the limiter.

Why: CPU alone is blind here: a station sleeps and burns none, a blocked loop burns little. So
``resilience.policy.pressure`` combines four signals. Three are sampled here: process CPU over its
quota or one core, the loop's lag, the station's busy share over the last second. The fourth, how
long the station's queue is, is asked anew each time: a burst fills it between two samples.
CPU is what this process used of its quota, or the share of the last second's periods in which the
kernel held its group back, whichever is more: a quota that others used up is used up.
Source: design.md, "Faults, drills, verdicts"; the CPU sampling of aegis' BBR (aegis:ratelimit/bbr,
500 ms).
"""

import time
from collections import deque
from collections.abc import Callable
from functools import partial

from kit.cgroup import Periods, available_cores, limiting_group, periods
from resilience.policy.pressure import combine

SAMPLE_EVERY_S = 0.25  # aegis samples every 500 ms; twice that, since a drill lasts 20 s

THROTTLE_SAMPLES = 4  # a second: a sample alone has two or three of the kernel's 100 ms periods
MIN_PERIODS = 5  # one of two is half of them and means nothing


class Pressure:
    """Sample the signals a few times a second; ``value`` adds the queue as it stands.

    Args:
        busy_share: The station's, 0..1.
        lag_s: The event loop's latest lag in seconds.
        wait_s: How long the station would let a newcomer wait, in seconds.
        cores: What the process may use; None asks the cgroup.
        clock: Monotonic seconds.
        cpu_clock: CPU seconds spent by this process.
        throttling: The periods of the group that limits this process, since it began; None asks
            the cgroup that does, if one does.
    """

    def __init__(
        self,
        busy_share: Callable[[], float],
        lag_s: Callable[[], float],
        wait_s: Callable[[], float] = lambda: 0.0,
        cores: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
        throttling: Callable[[], Periods | None] | None = None,
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
        self._throttling = throttling or _throttling_here()
        self._periods: deque[Periods] = deque(maxlen=THROTTLE_SAMPLES + 1)
        self.cpu_ratio = 0.0
        self.throttled_ratio = 0.0

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
        self.throttled_ratio = self._throttled_share()
        cpu_ratio = max(self.cpu_ratio, self.throttled_ratio)
        self._sampled = combine(cpu_ratio, self._lag_s(), self._busy_share())

    def _throttled_share(self) -> float:
        """Of the last second's periods, those in which the group was held back; 0 for few."""
        now = self._throttling()
        if now is None:
            self._periods.clear()
            return 0.0
        self._periods.append(now)
        before = self._periods[0]
        passed = now.all - before.all
        return (now.throttled - before.throttled) / passed if passed >= MIN_PERIODS else 0.0


def _throttling_here() -> Callable[[], Periods | None]:
    """Return what reads the group that limits this process; nothing where none does."""
    group = limiting_group()
    return (lambda: None) if group is None else partial(periods, group)
