"""Drive every way to pick through the same course, and print what it did.

    python -m tests.lb.policy.balancing_course

Ten endpoints of four workers each in virtual time, 10 ms a request (exponential), 2,000 requests a
second, half of what they can do. Three kinds of trouble with the first endpoint, one at a time:
*slow* (ten times slower), *failing* (every request fails after 1 ms) and *hot* (half of all
requests have one key, and what it owns changes nothing else). Arrivals and service times are drawn
by seed, the same for all. Nothing sleeps.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable, Mapping
from statistics import median
from typing import NamedTuple

from lb.policy.bounded_load import BoundedLoad
from lb.policy.key_hash import KeyHash
from lb.policy.outlier import OutlierEjection
from lb.policy.p2c import P2C
from lb.policy.peak_ewma import PeakEwma
from lb.policy.roster import Algorithm
from lb.policy.weighted_round_robin import SmoothWeighted
from resilience.policy.contract import Outcome, Request

ENDPOINTS = tuple(f"e{n}" for n in range(10))
WORKERS, SERVICE_S, RATE_RPS, SECONDS = 4, 0.010, 2000.0, 10.0
SLOWNESS, FAILS_IN_S, HOT_SHARE, KEYS = 10.0, 0.001, 0.5, 1000
WARM_UP_S = 2.0  # not counted: everyone begins knowing nothing
SEEDS = 5

PICKS: Mapping[str, Callable[[random.Random], Algorithm]] = {
    "round robin": SmoothWeighted,
    "p2c": P2C,
    "peak ewma": PeakEwma,
    "key hash": KeyHash,
    "bounded load": BoundedLoad,
}


class Marks(NamedTuple):
    """What a run showed.

    Args:
        share: The first endpoint's share of requests over its fair share, a tenth; for *hot* the
            busiest endpoint's.
        failed: Share of requests that failed.
        p99_s: Of all requests.
        at_home: Share of requests with a key that reached the endpoint most of that key's did.
    """

    share: float
    failed: float
    p99_s: float
    at_home: float


class _Endpoint:
    __slots__ = ("free_s",)

    def __init__(self) -> None:
        self.free_s = [0.0] * WORKERS

    def serve(self, now_s: float, service_s: float) -> float:
        """Return when a request that comes now is answered."""
        ends_s = max(now_s, heapq.heappop(self.free_s)) + service_s
        heapq.heappush(self.free_s, ends_s)
        return ends_s


class _Run:
    """One course of one way to pick."""

    def __init__(self, make: Callable[[random.Random], Algorithm], trouble: str, seed: int) -> None:
        self._rng = random.Random(seed)
        self._trouble = trouble
        self.one = make(random.Random(seed + 1))
        self.one.set_endpoints(ENDPOINTS)
        self._endpoints = {name: _Endpoint() for name in ENDPOINTS}
        self._outlier: OutlierEjection | None = None
        self._ends: list[tuple[float, int, str, Outcome]] = []
        self.counts: Counter[str] = Counter()
        self.homes: dict[str, Counter[str]] = {}
        self.latencies_s: list[float] = []
        self.failed = 0

    def ejecting(self) -> "_Run":
        """Leave who fails five times in a row, as the lab's balancer does."""
        self._outlier = OutlierEjection()
        self._outlier.set_endpoints(ENDPOINTS)
        return self

    def drive(self, seconds: float) -> Marks:
        """Send for that long, and return the marks of what came after the warm-up."""
        now_s = 0.0
        number = 0
        while now_s < seconds:
            now_s += self._rng.expovariate(RATE_RPS)
            number += 1
            self._finish_until(now_s)
            self._send(now_s, number)
        return self._marks()

    def _send(self, now_s: float, number: int) -> None:
        is_hot = self._trouble == "hot" and self._rng.random() < HOT_SHARE
        key = "hot" if is_hot else f"key:{self._rng.randrange(KEYS)}"
        service_s = self._rng.expovariate(1.0 / SERVICE_S)
        name = self.one.pick(Request(key=key), (), now_s)
        assert name is not None
        outcome = Outcome.OK
        if name == ENDPOINTS[0] and self._trouble == "slow":
            service_s *= SLOWNESS
        if name == ENDPOINTS[0] and self._trouble == "failing":
            service_s, outcome = FAILS_IN_S, Outcome.FAILED
        ends_s = self._endpoints[name].serve(now_s, service_s)
        self.one.on_start(name, now_s)
        heapq.heappush(self._ends, (ends_s, number, name, outcome))
        if now_s >= WARM_UP_S:
            self.counts[name] += 1
            self.homes.setdefault(key, Counter())[name] += 1
            self.latencies_s.append(ends_s - now_s)
            self.failed += outcome is Outcome.FAILED

    def _finish_until(self, now_s: float) -> None:
        while self._ends and self._ends[0][0] <= now_s:
            ends_s, _, name, outcome = heapq.heappop(self._ends)
            self.one.on_finish(name, outcome, ends_s)
            if self._outlier is not None and self._outlier.on_result(name, outcome, ends_s):
                usable = [n for n in ENDPOINTS if not self._outlier.is_ejected(n, ends_s)]
                self.one.set_candidates(usable)

    def _marks(self) -> Marks:
        total = len(self.latencies_s)
        self.latencies_s.sort()
        watched = max(self.counts.values()) if self._trouble == "hot" else self.counts[ENDPOINTS[0]]
        return Marks(
            share=watched / total * len(ENDPOINTS),
            failed=self.failed / total,
            p99_s=self.latencies_s[int(total * 0.99)],
            at_home=sum(max(counts.values()) for counts in self.homes.values()) / total,
        )


def drive(
    pick: str, trouble: str, seed: int, *, ejects: bool = False, seconds: float = SECONDS
) -> Marks:
    """Return the marks of one run.

    Args:
        pick: A name of ``PICKS``.
        trouble: ``none``, ``slow``, ``failing`` or ``hot``.
        seed: Draws arrivals, service times and the algorithm's chance.
        ejects: Whether five failures in a row eject.
        seconds: How long, above ``WARM_UP_S``.
    """
    run = _Run(PICKS[pick], trouble, seed)
    return (run.ejecting() if ejects else run).drive(seconds)


def medians(pick: str, trouble: str, *, ejects: bool = False) -> Marks:
    """Return the medians of all seeds, each mark by itself."""
    runs = [drive(pick, trouble, seed, ejects=ejects) for seed in range(SEEDS)]
    return Marks(*(median(column) for column in zip(*runs, strict=True)))


def main() -> None:
    """Print the tables of docs/policies/balancing.md."""
    for trouble, ejects in (
        ("none", False),
        ("slow", False),
        ("failing", False),
        ("failing", True),
        ("hot", False),
    ):
        print(f"\n{trouble}{', ejecting' if ejects else ''}")
        print("| pick | share of the one | failed | p99 | key at home |\n|---|---|---|---|---|")
        for pick in PICKS:
            marks = medians(pick, trouble, ejects=ejects)
            print(
                f"| {pick} | {marks.share:.2f} | {marks.failed:.1%} | {marks.p99_s * 1000:.0f} ms "
                f"| {marks.at_home:.0%} |"
            )


if __name__ == "__main__":
    main()
