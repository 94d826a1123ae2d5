"""Round-trip probe: learn what a request takes with nobody waiting, and refuse few for it.

Why: a limit held against the shortest round trip is as good as that figure, and under load no
sample shows it. The usual ways out do harm. Taking any sample as the new shortest (Netflix Vegas)
teaches the queue as if it were service, so the limit climbs with each probe. Pinning concurrency to
a handful (Envoy, three) refuses nearly everybody for as long as the measurement takes.

The way here. By Little's law the workers hold in flight × shortest / round trip without a queue; a
little less than that can be measured without load, and keeps them nearly all at work. So:

1. drain:   hold max(1/4, 3/4 × shortest / round trip) of what is in flight; nothing is measured
            until in flight has fallen to it
2. measure: requests *begun since* count, until there are enough or the time is up
3. restore: the old limit is back; with too few samples the old figure stays

Usually a quarter of what would have passed is refused, three quarters where the shortest was
outdated, for at most ``max_s`` seconds.

Source: Envoy #11579 (discard what began before the probe; what began behind it is queued all the
same, hence the drain), #46532 and PR #46602 (probe concurrency apart from the lower bound);
BBR's PROBE_RTT (draft-cardwell-iccrg-bbr-congestion-control, 4.3.4) drains in the same way.
Not handled: a limit more than four times what the workers hold, when the shortest is outdated too.
"""

from collections.abc import Sequence

HELD_RATIO = 0.75  # of what the workers hold; BBRv2 takes half (BBRProbeRTTCwndGain)
LEAST_RATIO = 0.25  # of what is in flight, should the shortest be outdated
MIN_SAMPLES = 5  # fewer say too little to replace a figure that served


def held_ratio(shortest_s: float, rtt_s: float) -> float:
    """Return which part of what is in flight to hold during a probe, 0.25..0.75."""
    if shortest_s >= rtt_s:
        return HELD_RATIO
    return max(LEAST_RATIO, HELD_RATIO * shortest_s / rtt_s)


class RttProbe:
    """A measurement that comes and goes. Every call is O(1).

    Args:
        samples: How many end it, >= 5.
        max_s: Longest time it may take, drain included, > 0.

    Invariant: ``limit`` is at least 1.
    """

    __slots__ = ("_ends_s", "_since_s", "_taken", "is_on", "limit", "max_s", "samples")

    def __init__(self, samples: int, max_s: float) -> None:
        if samples < MIN_SAMPLES or max_s <= 0.0:
            raise ValueError(f"{samples=} must be at least {MIN_SAMPLES} and {max_s=} above 0")
        self.samples = samples
        self.max_s = max_s
        self._taken: list[float] = []
        self.stop()

    def start(self, limit: int, now_s: float) -> None:
        """Begin at the limit given."""
        self._taken.clear()
        self._since_s: float | None = None
        self._ends_s = now_s + self.max_s
        self.limit = max(1, limit)
        self.is_on = True

    def stop(self) -> None:
        """End it and forget what was taken."""
        self._taken.clear()
        self._since_s = None
        self._ends_s = 0.0
        self.limit = 1
        self.is_on = False

    def add(self, rtt_s: float, in_flight: int, now_s: float) -> Sequence[float] | None:
        """Take in a sample while on; return the round trips when it is over, none if too few.

        Args:
            rtt_s: What it took, seconds.
            in_flight: How many there were, this one included.
            now_s: When it ended.
        """
        if self._since_s is None:
            if in_flight - 1 <= self.limit:
                self._since_s = now_s
        elif now_s - rtt_s >= self._since_s:
            self._taken.append(rtt_s)
        if len(self._taken) < self.samples and now_s < self._ends_s:
            return None
        taken = tuple(self._taken) if len(self._taken) >= MIN_SAMPLES else ()
        self.stop()
        return taken

    def __repr__(self) -> str:
        return f"<RttProbe {len(self._taken)} of {self.samples}{', on' if self.is_on else ''}>"
