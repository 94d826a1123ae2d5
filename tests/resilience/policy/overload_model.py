"""A station under a changing load, in virtual time: the setting of the drill `overload` and others.

Without further arguments it is two workers of 100 ms, 8 s at half their capacity and 20 s at ten
times it. `COURSE` is what every limiter is driven through: steady, ten times as many, a dependency
five times slower, recovery.

Requests arrive by a Poisson process, pass the gate (or none), and queue first come first served for
a worker; each has a deadline, after which nobody waits for it: expired in the queue it is dropped
when its turn comes, in work it gives its worker back. Nothing sleeps; a run of 28 s takes
milliseconds.
"""

import heapq
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from resilience.policy.contract import Gate, Outcome, Permit, Rejection, Request
from resilience.policy.pressure import combine

WORKERS = 2
MEAN_S = 0.1
CV = 0.25
DEADLINE_S = 1.0
CALM_S, CALM_RPS = 8.0, 10.0
BURST_S, BURST_RPS = 20.0, 200.0
SAMPLE_S, SAMPLES = 0.25, 4  # as the lab takes it: the last second, four times a second

MakeGate = Callable[[Callable[[], float]], Gate]


class Phase(NamedTuple):
    """A stretch of load: how long, how many arrive a second, what one takes a worker."""

    seconds: float
    rps: float
    mean_s: float = MEAN_S


DRILL = (Phase(CALM_S, CALM_RPS), Phase(BURST_S, BURST_RPS))
COURSE = (  # capacity 20 a second; 4 a second while the dependency is slow
    Phase(10.0, 10.0),
    Phase(15.0, 200.0),
    Phase(15.0, 10.0, 5 * MEAN_S),
    Phase(10.0, 10.0),
)


class Answer(NamedTuple):
    """An answer in time: when it was asked for, and how long it took."""

    arrived_s: float
    latency_s: float

    @property
    def ended_s(self) -> float:
        """When it came."""
        return self.arrived_s + self.latency_s


@dataclass
class Run:
    """What a run showed; latencies are those of answers in time during the burst."""

    latencies_s: list[float] = field(default_factory=list)
    calm_offered: int = 0
    calm_refused: int = 0
    answers: list[Answer] = field(default_factory=list)
    offered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    @property
    def goodput(self) -> float:
        """Answers in time over what the workers could have done."""
        return len(self.latencies_s) / (BURST_S * WORKERS / MEAN_S)

    def within(self, limit_s: float) -> float:
        """Share of the answers that took no longer."""
        return sum(each <= limit_s for each in self.latencies_s) / len(self.latencies_s)

    def answered(self, from_s: float, to_s: float) -> int:
        """How many were answered in time between the two."""
        return sum(from_s <= each.ended_s < to_s for each in self.answers)

    def p99_s(self, from_s: float, to_s: float) -> float:
        """Return the 99th percentile of the answers that came between the two; 0 without any."""
        took = sorted(each.latency_s for each in self.answers if from_s <= each.ended_s < to_s)
        return took[int(0.99 * (len(took) - 1))] if took else 0.0

    def count(self, times_s: Sequence[float], from_s: float, to_s: float) -> int:
        """How many of those times lie between the two."""
        return sum(from_s <= each < to_s for each in times_s)


@dataclass
class _Job:
    arrived_s: float
    permit: Permit | None


class OverloadModel:
    """One run.

    Args:
        make_gate: Gets the pressure signal and returns the gate; None for no gate.
        seed: Draws arrivals and service times.
        signal: The pressure. ``busy``: the share of workers busy right now. ``second``: that of the
            last second, sampled four times a second. ``lab``: that and the queue's wait, as the lab
            has it.
        phases: The load, one after the other; the first one counts as the calm.
        workers: How many serve at the same time.
        cv: Variation of the service time: 0.25 is steady, 1 is as wide as an exponential one.
        deadline_s: What each request has.
    """

    def __init__(
        self,
        make_gate: MakeGate | None,
        seed: int,
        *,
        signal: str = "lab",
        phases: Sequence[Phase] = DRILL,
        workers: int = WORKERS,
        cv: float = CV,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._rng = random.Random(seed)
        self._phases = phases
        self._workers = workers
        self._shape = 1 / cv**2
        self._deadline_s = deadline_s
        self._ends_s = list(accumulate(phase.seconds for phase in phases))
        self._sampled = 0.0
        signals = {"busy": self._busy_now, "second": lambda: self._sampled, "lab": self._as_the_lab}
        self._gate = make_gate(signals[signal]) if make_gate else None
        self._queue: deque[_Job] = deque()
        self._free = workers
        self._busy_s = 0.0  # worker-seconds worked up to _counted_s
        self._counted_s = 0.0
        self._samples = deque([0.0], maxlen=SAMPLES + 1)
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = 0
        self.result = Run()

    def run(self) -> Run:
        """Play the calm and the burst; return what they showed."""
        self._at(SAMPLE_S, self._sample)
        self._at(self._gap(0.0), self._arrive)
        while self._events:
            now_s, _, event = heapq.heappop(self._events)
            if now_s > self._ends_s[-1]:
                break
            self._busy_s += (self._workers - self._free) * (now_s - self._counted_s)
            self._counted_s = now_s
            event(now_s)
        return self.result

    def _at(self, when_s: float, event: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (when_s, self._number, event))

    def _gap(self, now_s: float) -> float:
        return now_s + self._rng.expovariate(self._phase(now_s).rps)

    def _phase(self, now_s: float) -> Phase:
        return self._phases[min(bisect_right(self._ends_s, now_s), len(self._phases) - 1)]

    def _busy_now(self) -> float:
        return 1.0 - self._free / self._workers

    def _as_the_lab(self) -> float:
        wait_s = len(self._queue) * self._phases[0].mean_s / self._workers
        return combine(0.0, 0.0, self._sampled, wait_s)

    def _sample(self, now_s: float) -> None:
        self._samples.append(self._busy_s)
        span_s = SAMPLE_S * (len(self._samples) - 1)
        self._sampled = (self._samples[-1] - self._samples[0]) / (span_s * self._workers)
        self._at(now_s + SAMPLE_S, self._sample)

    def _arrive(self, now_s: float) -> None:
        self._at(self._gap(now_s), self._arrive)
        is_calm = now_s < self._ends_s[0]
        self.result.calm_offered += is_calm
        self.result.offered.append(now_s)
        permit = None
        if self._gate:
            decision = self._gate.admit(Request(deadline_s=now_s + self._deadline_s), now_s)
            if isinstance(decision, Rejection):
                self.result.calm_refused += is_calm
                self.result.refused.append(now_s)
                return
            permit = decision
        self._queue.append(_Job(now_s, permit))
        self._work(now_s)

    def _work(self, now_s: float) -> None:
        while self._free and self._queue:
            job = self._queue.popleft()
            if now_s >= job.arrived_s + self._deadline_s:
                self._settle(job, Outcome.OVERLOADED, now_s)
                continue
            self._free -= 1
            mean_s = self._phase(now_s).mean_s
            end_s = now_s + self._rng.gammavariate(self._shape, mean_s / self._shape)
            cut_s = min(end_s, job.arrived_s + self._deadline_s)
            self._at(cut_s, self._finisher(job, in_time=end_s <= cut_s))

    def _finisher(self, job: _Job, *, in_time: bool) -> Callable[[float], None]:
        def finish(now_s: float) -> None:
            self._free += 1
            self._settle(job, Outcome.OK if in_time else Outcome.OVERLOADED, now_s)
            if in_time:
                self._note(job.arrived_s, now_s)
            self._work(now_s)

        return finish

    def _note(self, arrived_s: float, now_s: float) -> None:
        self.result.answers.append(Answer(arrived_s, now_s - arrived_s))
        if now_s > self._ends_s[0]:
            self.result.latencies_s.append(now_s - arrived_s)

    def _settle(self, job: _Job, outcome: Outcome, now_s: float) -> None:
        if outcome is Outcome.OVERLOADED:
            self.result.late.append(now_s)
        if self._gate and job.permit:
            self._gate.settle(job.permit, outcome, now_s)
