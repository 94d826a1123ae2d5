"""The drill `metastable` in virtual time: the real station, retry plan and retry budget, no I/O.

Requests arrive at a constant pace, or by a Poisson process, at two gateways in turn. Each is a call
with a deadline and up to four attempts of half a second; an attempt that runs out of its time is
cancelled at the station, as the lab's switch ``cancellation`` has it, or left there. For a while
the station takes twenty times as long. Nothing sleeps; a run of 50 s takes 50 ms.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from kit.state import StationSetting
from kit.station_schedule import Job, StationSchedule, Turn
from resilience.policy.budget import RetryBudget, SwitchedBudget
from resilience.policy.contract import AttemptResult, Mode, Outcome, Try, WaitUntil
from resilience.policy.retry import RetryPlan, RetrySettings

STATION = StationSetting(workers=4, mean_s=0.1, cv=0.25)
GATEWAYS = 2
RATE_RPS = 32.0  # of the 40 the station can do
ATTEMPTS = RetrySettings(max_attempts=4)
PER_TRY_S = 0.5
BUDGET_S = 2.5
SLOW_FACTOR = 20.0
STEADY_S, SLOW_S, AFTER_S = 8.0, 5.0, 30.0
LAST_S = 15.0  # of what follows the fault: what is judged
RECOVERED_SHARE = 0.9

Event = Callable[[float], None]


@dataclass
class Run:
    """What a run showed; times are those at which requests were due."""

    offered_s: list[float] = field(default_factory=list)
    answered_s: list[float] = field(default_factory=list)
    attempts: int = 0

    def share(self, from_s: float, to_s: float) -> float:
        """Answers in time over requests that were due in a window."""
        offered = sum(from_s <= each < to_s for each in self.offered_s)
        return sum(from_s <= each < to_s for each in self.answered_s) / max(1, offered)

    @property
    def goodput_of_offered(self) -> float:
        """The share answered in the last seconds, long after the fault."""
        end_s = STEADY_S + SLOW_S + AFTER_S
        return self.share(end_s - LAST_S, end_s)

    @property
    def steady_share(self) -> float:
        """The share answered before the fault."""
        return self.share(0.0, STEADY_S)

    @property
    def recovery_s(self) -> float:
        """Seconds after the fault from which on each second is normal; ``AFTER_S`` for never."""
        normal = RECOVERED_SHARE * self.steady_share
        fault_end_s = STEADY_S + SLOW_S
        bad = [
            second + 1.0
            for second in range(int(AFTER_S))
            if self.share(fault_end_s + second, fault_end_s + second + 1) < normal
        ]
        return max(bad, default=0.0)


class _Attempt:
    """One try: where its job is, and whether it has ended for its caller."""

    __slots__ = ("is_over", "job")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.is_over = False


class MetastableModel:
    """One run.

    Args:
        seed: Draws arrivals, service times and back-offs.
        retry_budget: The switch under test.
        cancellation: Whether an attempt that ran out of time frees its place at the station.
        poisson: Whether arrivals come by chance; else evenly, as the drill sends them.
    """

    def __init__(
        self, seed: int, *, retry_budget: Mode, cancellation: bool = True, poisson: bool = False
    ) -> None:
        self._rng = random.Random(seed)
        self._station = StationSchedule(STATION, random.Random(seed + 1))
        self._budgets = [
            SwitchedBudget(RetryBudget(), lambda: retry_budget) for _ in range(GATEWAYS)
        ]
        self._cancels = cancellation
        self._poisson = poisson
        self._events: list[tuple[float, int, Event]] = []
        self._number = 0
        self._now_s = 0.0
        self._waiting: dict[Job, Callable[[float, bool], None]] = {}
        self._armed_s = float("inf")
        self.result = Run()

    def run(self) -> Run:
        """Play steady state, fault and what follows; return what they showed."""
        self._at(self._gap_s(), self._arrive)
        while self._events:
            self._now_s, _, event = heapq.heappop(self._events)
            if self._now_s > STEADY_S + SLOW_S + AFTER_S + BUDGET_S:
                break
            event(self._now_s)
        return self.result

    def _at(self, when_s: float, event: Event) -> None:
        self._number += 1
        heapq.heappush(self._events, (when_s, self._number, event))

    def _gap_s(self) -> float:
        return self._rng.expovariate(RATE_RPS) if self._poisson else 1.0 / RATE_RPS

    def _arrive(self, now_s: float) -> None:
        if now_s >= STEADY_S + SLOW_S + AFTER_S:
            return
        self._at(now_s + self._gap_s(), self._arrive)
        self.result.offered_s.append(now_s)
        budget = self._budgets[len(self.result.offered_s) % GATEWAYS]
        plan = RetryPlan(ATTEMPTS, budget, self._rng, idempotent=True, deadline_s=now_s + BUDGET_S)
        self._step(plan, now_s, now_s)

    def _step(self, plan: RetryPlan, due_s: float, now_s: float) -> None:
        """Do what the plan says: try, wait, or give up."""
        step = plan.next(now_s)
        if isinstance(step, Try):
            self._try(plan, due_s, now_s)
        elif isinstance(step, WaitUntil):
            self._at(step.t_s, lambda at_s: self._step(plan, due_s, at_s))
        else:
            plan.close()

    def _try(self, plan: RetryPlan, due_s: float, now_s: float) -> None:
        limit_s = min(now_s + PER_TRY_S, due_s + BUDGET_S)
        self.result.attempts += 1
        self._settle(self._station.advance(now_s))
        job = self._station.arrive(now_s, limit_s, self._factor)
        assert job is not None
        attempt = _Attempt(job)

        def end(at_s: float, ok: bool) -> None:
            """Tell the plan, once, how the attempt ended."""
            if attempt.is_over:
                return
            attempt.is_over = True
            outcome = Outcome.OK if ok else Outcome.FAILED
            plan.on_result(AttemptResult("video.1", outcome), at_s)
            if ok:
                self.result.answered_s.append(due_s)
            self._step(plan, due_s, at_s)

        def on_time(at_s: float) -> None:
            """Give the attempt up; the job frees its place, or goes on for nobody."""
            if attempt.is_over:
                return
            self._settle(self._station.advance(at_s))
            if self._cancels and not attempt.is_over:
                self._waiting.pop(job, None)
                self._settle(self._station.cancel(job, at_s))
                self._arm()
            end(at_s, False)

        self._waiting[job] = end
        self._at(limit_s, on_time)
        self._arm()

    def _factor(self) -> float:
        return SLOW_FACTOR if STEADY_S <= self._now_s < STEADY_S + SLOW_S else 1.0

    def _settle(self, turn: Turn) -> None:
        for job in turn.finished:
            end = self._waiting.pop(job, None)
            if end is not None:
                self._at(job.finish_s, lambda at_s, end=end: end(at_s, True))  # type: ignore[misc]
        for job in turn.dropped:
            end = self._waiting.pop(job, None)
            if end is not None:
                self._at(self._now_s, lambda at_s, end=end: end(at_s, False))  # type: ignore[misc]

    def _arm(self) -> None:
        """Come back when the station has something to say."""
        due_s = self._station.next_finish_s()
        if due_s is not None and due_s < self._armed_s:
            self._armed_s = due_s
            self._at(due_s, self._on_due)

    def _on_due(self, now_s: float) -> None:
        if now_s >= self._armed_s:
            self._armed_s = float("inf")
        self._settle(self._station.advance(now_s))
        self._arm()
