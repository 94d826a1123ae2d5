"""A station of two workers under a burst, in virtual time: the setting of the drill `overload`.

Requests arrive by a Poisson process, pass the gate (or none), and queue first come first served for
a worker; each has a deadline, after which nobody waits for it: expired in the queue it is dropped
when its turn comes, in work it gives its worker back. Nothing sleeps; a run of 28 s takes
milliseconds.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

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


@dataclass
class Run:
    """What a run showed; latencies are those of answers in time during the burst."""

    latencies_s: list[float] = field(default_factory=list)
    calm_offered: int = 0
    calm_refused: int = 0

    @property
    def goodput(self) -> float:
        """Answers in time over what the workers could have done."""
        return len(self.latencies_s) / (BURST_S * WORKERS / MEAN_S)

    def within(self, limit_s: float) -> float:
        """Share of the answers that took no longer."""
        return sum(each <= limit_s for each in self.latencies_s) / len(self.latencies_s)


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
    """

    def __init__(self, make_gate: MakeGate | None, seed: int, *, signal: str = "lab") -> None:
        self._rng = random.Random(seed)
        self._sampled = 0.0
        signals = {"busy": self._busy_now, "second": lambda: self._sampled, "lab": self._as_the_lab}
        self._gate = make_gate(signals[signal]) if make_gate else None
        self._queue: deque[_Job] = deque()
        self._free = WORKERS
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
            if now_s > CALM_S + BURST_S:
                break
            self._busy_s += (WORKERS - self._free) * (now_s - self._counted_s)
            self._counted_s = now_s
            event(now_s)
        return self.result

    def _at(self, when_s: float, event: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (when_s, self._number, event))

    def _gap(self, now_s: float) -> float:
        return now_s + self._rng.expovariate(CALM_RPS if now_s < CALM_S else BURST_RPS)

    def _busy_now(self) -> float:
        return 1.0 - self._free / WORKERS

    def _as_the_lab(self) -> float:
        return combine(0.0, 0.0, self._sampled, len(self._queue) * MEAN_S / WORKERS)

    def _sample(self, now_s: float) -> None:
        self._samples.append(self._busy_s)
        span_s = SAMPLE_S * (len(self._samples) - 1)
        self._sampled = (self._samples[-1] - self._samples[0]) / (span_s * WORKERS)
        self._at(now_s + SAMPLE_S, self._sample)

    def _arrive(self, now_s: float) -> None:
        self._at(self._gap(now_s), self._arrive)
        is_calm = now_s < CALM_S
        self.result.calm_offered += is_calm
        permit = None
        if self._gate:
            decision = self._gate.admit(Request(deadline_s=now_s + DEADLINE_S), now_s)
            if isinstance(decision, Rejection):
                self.result.calm_refused += is_calm
                return
            permit = decision
        self._queue.append(_Job(now_s, permit))
        self._work(now_s)

    def _work(self, now_s: float) -> None:
        while self._free and self._queue:
            job = self._queue.popleft()
            if now_s >= job.arrived_s + DEADLINE_S:
                self._settle(job, Outcome.OVERLOADED, now_s)
                continue
            self._free -= 1
            shape = 1 / CV**2
            end_s = now_s + self._rng.gammavariate(shape, MEAN_S / shape)
            cut_s = min(end_s, job.arrived_s + DEADLINE_S)
            self._at(cut_s, self._finisher(job, in_time=end_s <= cut_s))

    def _finisher(self, job: _Job, *, in_time: bool) -> Callable[[float], None]:
        def finish(now_s: float) -> None:
            self._free += 1
            self._settle(job, Outcome.OK if in_time else Outcome.OVERLOADED, now_s)
            if in_time and now_s > CALM_S:
                self.result.latencies_s.append(now_s - job.arrived_s)
            self._work(now_s)

        return finish

    def _settle(self, job: _Job, outcome: Outcome, now_s: float) -> None:
        if self._gate and job.permit:
            self._gate.settle(job.permit, outcome, now_s)
