"""The bench's run in virtual time: the same trace, station, pressure and gate, and no machine.

What a limiter decides on the recorded overload is arithmetic, so it can be played in a tenth of a
second, the same each time. What is left out is what only real sockets show: lag, CPU, the way
there and back.
"""

import heapq
from collections.abc import Callable

from bench.limiters.contenders import MakeGate
from bench.limiters.records import ANSWERED, LATE, REFUSED, Record
from bench.limiters.service import RecordedTimes
from bench.limiters.trace import DEADLINE_S, PHASES, SERVICE_S, WORKERS, Arrival, Trace
from kit.pressure import SAMPLE_EVERY_S
from kit.state import StationSetting
from kit.station import BUSY_WINDOW_S
from kit.station_schedule import Job, StationSchedule, Turn
from resilience.policy.contract import Gate, Outcome, Permit, Rejection, Request
from resilience.policy.pressure import combine

Event = Callable[[float], None]


class VirtualRun:
    """One run of a gate over a trace.

    Args:
        trace: Arrivals, and service times in the order of service.
        make_gate: Gets the pressure signal, as a contender's does.
        phase_s: What the gate's clock shows when the trace begins. Buckets begin at whole seconds,
            so a run depends on it; on real sockets it is anything.
    """

    def __init__(self, trace: Trace, make_gate: MakeGate, phase_s: float = 0.0) -> None:
        self._trace = trace
        self._phase_s = phase_s
        self.schedule = StationSchedule(self._setting(1.0), RecordedTimes(trace.services_s))
        self._sampled = 0.0
        self._busy: list[tuple[float, float]] = [(0.0, 0.0)]
        self.gate: Gate = make_gate(self.pressure)
        self._under_way: dict[Job, tuple[Record, Permit]] = {}
        self._events: list[tuple[float, int, Event]] = []
        self._number = 0
        self.records: list[Record] = []

    def run(self) -> list[Record]:
        """Play the trace; return what became of each request."""
        for phase in PHASES:
            self._at(phase.begin_s, self._setter(phase.slowness))
        for arrival in self._trace.arrivals:
            self._at(arrival.at_s, self._arriver(arrival))
        self._at(SAMPLE_EVERY_S * (1.0 - self._phase_s % 1.0), self._sample)
        while self._events:
            finish_s = self.schedule.next_finish_s()
            if finish_s is not None and finish_s <= self._events[0][0]:
                self._end(self.schedule.advance(finish_s), finish_s)
            else:
                now_s, _, event = heapq.heappop(self._events)
                event(now_s)
        return self.records

    def pressure(self) -> float:
        """Return the lab's pressure, of a process that has CPU enough."""
        return combine(0.0, 0.0, self._sampled, self.schedule.wait_s)

    def _at(self, when_s: float, event: Event) -> None:
        self._number += 1
        heapq.heappush(self._events, (when_s, self._number, event))

    def _setting(self, slowness: float) -> StationSetting:
        return StationSetting(WORKERS, SERVICE_S * slowness, self._trace.cv)

    def _setter(self, slowness: float) -> Event:
        def set_to(now_s: float) -> None:
            self._end(self.schedule.set(self._setting(slowness), now_s), now_s)

        return set_to

    def _sample(self, now_s: float) -> None:
        samples = self._busy
        while len(samples) > 1 and samples[1][0] <= now_s - BUSY_WINDOW_S:
            samples.pop(0)
        then_s, busy_then_s = samples[0]
        busy_s = self.schedule.busy_s(now_s)
        samples.append((now_s, busy_s))
        self._sampled = min(1.0, (busy_s - busy_then_s) / ((now_s - then_s) * WORKERS))
        if self._events:
            self._at(now_s + SAMPLE_EVERY_S, self._sample)

    def _arriver(self, arrival: Arrival) -> Event:
        def arrive(now_s: float) -> None:
            record = Record(now_s, int(arrival.criticality), arrival.tenant, now_s)
            self.records.append(record)
            until_s, clock_s = now_s + DEADLINE_S, now_s + self._phase_s
            deadline_s = clock_s + DEADLINE_S
            request = Request(1.0, arrival.criticality, arrival.tenant, "", deadline_s)
            decision = self.gate.admit(request, clock_s)
            if isinstance(decision, Rejection):
                record.done_s, record.status = now_s, REFUSED
                return
            job = self.schedule.arrive(now_s, until_s)
            assert job is not None
            self._under_way[job] = (record, decision)
            self._at(until_s, lambda late_s: self._cut(job, late_s))

        return arrive

    def _cut(self, job: Job, now_s: float) -> None:
        if job in self._under_way:
            turn = self.schedule.cancel(job, now_s)
            self._settle(job, Outcome.OVERLOADED, LATE, now_s)
            self._end(turn, now_s)

    def _end(self, turn: Turn, now_s: float) -> None:
        for job in turn.finished:
            self._settle(job, Outcome.OK, ANSWERED, now_s)
        for job in turn.dropped:
            self._settle(job, Outcome.OVERLOADED, LATE, now_s)

    def _settle(self, job: Job, outcome: Outcome, status: int, now_s: float) -> None:
        record, permit = self._under_way.pop(job)
        record.done_s, record.status = now_s, status
        self.gate.settle(permit, outcome, now_s + self._phase_s)
