"""Three tiers that each retry, in virtual time: how many calls reach the bottom for one at the top.

    client -> tier 1 -> tier 2 -> tier 3 -> a dependency that fails every call after 50 ms

Every tier runs each call it gets through a ``RetryPlan`` of three attempts and one budget shared by
all its calls. A failure from below is ``deeper`` to whoever is told so. No clock and no loop: each
call is a generator that yields the time at which it goes on, and a heap wakes them in order.
"""

import heapq
import random
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from itertools import count

from resilience.policy.budget import Budget
from resilience.policy.contract import AttemptResult, Outcome, Try, WaitUntil
from resilience.policy.retry import RetryPlan, RetrySettings

SERVICE_S = 0.05
Course = Generator[float, float, None]
"""Yields when to go on; is sent the time at which it does."""


class Tiers:
    """A chain of tiers above a broken dependency.

    Args:
        budgets: One for each tier, the top one first.
        tells_deeper: Whether an error passed up says that it came from further down.
        seed: Of arrivals and jitter.
    """

    def __init__(self, budgets: Sequence[Budget], *, tells_deeper: bool, seed: int = 1) -> None:
        self._budgets = budgets
        self._tells_deeper = tells_deeper
        self._rng = random.Random(seed)
        self.received = [0] * (len(budgets) + 1)  # calls by tier; the last is the dependency

    def run(self, rate: float, seconds: float) -> float:
        """Send calls at the top, Poisson; return how many reached the dependency for each."""
        heap: list[tuple[float, int, Course]] = []
        numbers, now_s = count(), 0.0
        while now_s < seconds:
            now_s += self._rng.expovariate(rate)
            heapq.heappush(heap, (now_s, next(numbers), self._call(0, now_s)))
        for _, _, course in heap:
            next(course)
        while heap:
            now_s, _, course = heapq.heappop(heap)
            with suppress(StopIteration):
                heapq.heappush(heap, (course.send(now_s), next(numbers), course))
        return self.received[-1] / self.received[0]

    def _call(self, tier: int, start_s: float) -> Course:
        """Serve one call at a tier, whose dependency is the next one; it always fails."""
        now_s = yield start_s
        self.received[tier] += 1
        if tier == len(self._budgets):
            yield now_s + SERVICE_S
            return
        yield from self._attempts(tier, now_s)

    def _attempts(self, tier: int, now_s: float) -> Course:
        plan = RetryPlan(
            RetrySettings(),
            self._budgets[tier],
            self._rng,
            idempotent=True,
            deadline_s=None,
            now_s=now_s,
        )
        deeper = self._tells_deeper and tier + 1 < len(self._budgets)
        step = plan.next(now_s)
        while isinstance(step, Try | WaitUntil):
            if isinstance(step, WaitUntil):
                now_s = yield step.t_s
            else:
                now_s = yield from self._below(tier + 1, now_s)
                plan.on_result(AttemptResult("below", Outcome.FAILED, deeper=deeper), now_s)
            step = plan.next(now_s)
        plan.close()

    def _below(self, tier: int, now_s: float) -> Generator[float, float, float]:
        """Call the next tier and return the time at which it has failed."""
        course = self._call(tier, now_s)
        wake_s = next(course)
        while True:
            now_s = yield wake_s
            try:
                wake_s = course.send(now_s)
            except StopIteration:
                return now_s


def amplification(
    make_budget: Callable[[], Budget], *, tells_deeper: bool, rate: float = 100, seconds: float = 10
) -> float:
    """Return calls at the bottom for each call at the top, of three tiers with such budgets."""
    return Tiers([make_budget() for _ in range(3)], tells_deeper=tells_deeper).run(rate, seconds)
