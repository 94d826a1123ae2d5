"""Streams of unlike requests at one station, in virtual time: `brownout` and `noisy-tenant`.

Each stream arrives by a Poisson process of its own, passes the door (a Gate, a Queue or none) and
queues first come first served for a worker. Each request has a deadline, after which nobody waits
for it: expired before its turn it is dropped, in work it gives its worker back. Nothing sleeps;
half a minute takes milliseconds.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from resilience.policy.contract import (
    Criticality,
    Gate,
    Outcome,
    Permit,
    Queue,
    QueueTurn,
    Rejection,
    Request,
    Snapshot,
    Ticket,
)
from resilience.policy.pressure import combine

WORKERS = 2  # drills.md, R2: capacity 20 a second
MEAN_S = 0.1
CV = 0.25
CAPACITY_RPS = WORKERS / MEAN_S
DEADLINE_S = 1.0
SAMPLE_S, SAMPLES = 0.25, 4  # as the lab takes the pressure: the last second, four times a second

Door: TypeAlias = Gate | Queue
MakeDoor: TypeAlias = Callable[[Callable[[], float]], Door]
Event: TypeAlias = Callable[[float], None]


@dataclass(frozen=True)
class Stream:
    """Requests of one kind at one rate."""

    name: str
    rps: float
    criticality: Criticality = Criticality.CRITICAL
    tenant: str = ""


Phase: TypeAlias = tuple[float, Sequence[Stream]]  # how long, and who comes meanwhile


@dataclass
class Tally:
    """What one stream got; times are seconds of the run."""

    arrived_s: list[float] = field(default_factory=list)
    admitted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    answers: list[tuple[float, float]] = field(default_factory=list)  # arrival, latency; in time

    @property
    def in_time(self) -> float:
        """Share of what arrived that was answered before its deadline."""
        return len(self.answers) / len(self.arrived_s)


@dataclass
class _Job:
    stream: str
    arrived_s: float
    permit: Permit | None = None


class AdmissionModel:
    """One run.

    Args:
        phases: One after the other.
        make_door: Gets the pressure signal and returns the policy; None for none.
        seed: Draws arrivals and service times.
    """

    def __init__(self, phases: Sequence[Phase], make_door: MakeDoor | None, seed: int) -> None:
        self._rng = random.Random(seed)
        self._sampled = 0.0
        self.door = make_door(self._pressure) if make_door else None
        self._jobs: deque[_Job] = deque()
        self._waiting: dict[Ticket, _Job] = {}
        self._free = WORKERS
        self._busy_s = 0.0  # worker-seconds worked up to _counted_s
        self._counted_s = 0.0
        self._samples = deque([0.0], maxlen=SAMPLES + 1)
        self._events: list[tuple[float, int, Event]] = []
        self._number = 0
        self._end_s = 0.0
        self.tallies: dict[str, Tally] = {}
        self.most_in_station = 0
        for seconds, streams in phases:
            begin_s, self._end_s = self._end_s, self._end_s + seconds
            for stream in streams:
                self.tallies.setdefault(stream.name, Tally())
                self._schedule_arrivals(stream, begin_s, self._end_s)

    def run(self) -> "AdmissionModel":
        """Play all phases, and return itself with what they showed."""
        self._at(SAMPLE_S, self._sample)
        while self._events:
            now_s, _, event = heapq.heappop(self._events)
            if now_s > self._end_s:
                break
            self._busy_s += (WORKERS - self._free) * (now_s - self._counted_s)
            self._counted_s = now_s
            event(now_s)
        return self

    @property
    def goodput(self) -> float:
        """Answers in time over what the workers could have done in the whole run."""
        answered = sum(len(tally.answers) for tally in self.tallies.values())
        return answered / (CAPACITY_RPS * self._end_s)

    def _schedule_arrivals(self, stream: Stream, begin_s: float, end_s: float) -> None:
        when_s = begin_s + self._rng.expovariate(stream.rps)
        while when_s < end_s:
            self._at(when_s, lambda now_s: self._arrive(stream, now_s))
            when_s += self._rng.expovariate(stream.rps)

    def _at(self, when_s: float, event: Event) -> None:
        self._number += 1
        heapq.heappush(self._events, (when_s, self._number, event))

    def _pressure(self) -> float:
        return combine(0.0, 0.0, self._sampled, len(self._jobs) * MEAN_S / WORKERS)

    def _sample(self, now_s: float) -> None:
        self._samples.append(self._busy_s)
        span_s = SAMPLE_S * (len(self._samples) - 1)
        self._sampled = (self._samples[-1] - self._samples[0]) / (span_s * WORKERS)
        self._at(now_s + SAMPLE_S, self._sample)

    def _arrive(self, stream: Stream, now_s: float) -> None:
        job = _Job(stream.name, now_s)
        self.tallies[stream.name].arrived_s.append(now_s)
        request = Request(1.0, stream.criticality, stream.tenant, "", now_s + DEADLINE_S)
        if self.door is None:
            self._enter(job, None, now_s)
            return
        ask = self.door.admit if hasattr(self.door, "admit") else self.door.offer
        decision = ask(request, now_s)
        if isinstance(decision, Permit):
            self._enter(job, decision, now_s)
        elif isinstance(decision, Ticket):
            self._waiting[decision] = job
        else:
            self._refuse(job, now_s)
        self._watch_door(now_s)

    def _enter(self, job: _Job, permit: Permit | None, now_s: float) -> None:
        job.permit = permit
        self.tallies[job.stream].admitted_s.append(now_s)
        self._jobs.append(job)
        self.most_in_station = max(self.most_in_station, len(self._jobs) + WORKERS - self._free)
        self._work(now_s)

    def _refuse(self, job: _Job, now_s: float) -> None:
        self.tallies[job.stream].refused_s.append(now_s)

    def _work(self, now_s: float) -> None:
        while self._free and self._jobs:
            job = self._jobs.popleft()
            expiry_s = job.arrived_s + DEADLINE_S
            if now_s >= expiry_s:
                self._settle(job, Outcome.OVERLOADED, now_s)
                continue
            self._free -= 1
            shape = 1 / CV**2
            end_s = now_s + self._rng.gammavariate(shape, MEAN_S / shape)
            self._at(min(end_s, expiry_s), self._finisher(job, in_time=end_s <= expiry_s))

    def _finisher(self, job: _Job, *, in_time: bool) -> Event:
        def finish(now_s: float) -> None:
            self._free += 1
            if in_time:
                answer = (job.arrived_s, now_s - job.arrived_s)
                self.tallies[job.stream].answers.append(answer)
            self._settle(job, Outcome.OK if in_time else Outcome.OVERLOADED, now_s)
            self._work(now_s)

        return finish

    def _settle(self, job: _Job, outcome: Outcome, now_s: float) -> None:
        if self.door is not None and job.permit is not None:
            self._apply(self.door.settle(job.permit, outcome, now_s), now_s)

    def _apply(self, turn: QueueTurn | None, now_s: float) -> None:
        if turn is None:  # a Gate has nobody waiting
            return
        for ticket, permit in turn.granted:
            self._enter(self._waiting.pop(ticket), permit, now_s)
        for ticket, rejection in turn.dropped:
            assert isinstance(rejection, Rejection)
            self._refuse(self._waiting.pop(ticket), now_s)
        self._watch_door(now_s)

    def _watch_door(self, now_s: float) -> None:
        """Give a Queue its tick at the time it named, as the asyncio adapter does."""
        if self.door is None or hasattr(self.door, "admit"):
            return
        due_s = self.door.next_deadline_s()
        if due_s is not None:
            self._at(max(due_s, now_s), self._tick)

    def _tick(self, now_s: float) -> None:
        assert self.door is not None
        assert not hasattr(self.door, "admit")
        due_s = self.door.next_deadline_s()
        if due_s is not None and due_s <= now_s:
            self._apply(self.door.on_tick(now_s), now_s)


class Slots:
    """A limiter with a limit that a test sets, and a note of what it was taught."""

    name = "limiter"

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.in_flight = 0
        self.taught: list[Outcome] = []
        self.resets = 0

    def limit(self, now_s: float) -> int:
        """Return the slots."""
        return self.slots

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Admit while there are slots."""
        if self.in_flight >= self.slots:
            return Rejection(self.name, "LIMIT_EXCEEDED", 1.0, self.in_flight, self.slots)
        self.in_flight += 1
        return Permit(self.resets, now_s, request.cost)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Free the slot."""
        permit.mark_settled()
        self.in_flight -= 1
        if outcome is not Outcome.IGNORED and permit.generation == self.resets:
            self.taught.append(outcome)

    def reset(self, now_s: float) -> None:
        """Count it."""
        self.resets += 1

    def snapshot(self) -> Snapshot:
        """Return slots and use."""
        return {"in_flight": self.in_flight, "limit": self.slots}


def jain(values: Sequence[float]) -> float:
    """Return Jain's fairness index, 1/n..1: 1 when all have the same (Jain, Chiu, Hawe 1984)."""
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values))
