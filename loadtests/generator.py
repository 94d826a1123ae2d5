"""The open-loop generator: one greenlet walks the schedule and spawns another per arrival.

An arrival is never delayed by an earlier one. When as many requests as allowed are in flight, it
counts as unsent: a generator that waits for room would quietly turn into a closed loop.
"""

import gc
import os
import time
from collections.abc import Callable
from pathlib import Path

import gevent

from loadtests import ledger as ledgers
from loadtests.client import Answer, Client
from loadtests.ledger import Entry, Ledger
from loadtests.plan import Plan
from loadtests.routes import RequestWriter
from loadtests.schedule import Arrival, total_seconds

HEAD_START_S = 0.5  # from announcing the start to the first arrival: others may prepare
PROGRESS_EVERY_S = 1.0

Report = Callable[[Entry, Answer, float], None]
"""Called with each finished request, its answer and the unix time at which it was sent."""


class Generator:
    """One run of a plan.

    Args:
        plan: What to send.
        client: How.
        writer: In which words.
        out: The folder for the files; None writes none.
        report: Told of each finished request.
    """

    def __init__(
        self, plan: Plan, client: Client, writer: RequestWriter, out: Path | None, report: Report
    ) -> None:
        self.plan = plan
        self.ledger = Ledger(plan.budget_s, plan.criticality, plan.tenant)
        self.finished = False
        self._client = client
        self._writer = writer
        self._out = out
        self._report = report
        self._t0_s = 0.0
        self._t0_unix_s = 0.0
        self._cpu_at_start_s = 0.0

    def run(self) -> None:
        """Send everything, wait for the last answer, write the files; blocks until then."""
        arrivals = self.plan.arrivals()
        self._start_clock()
        progress = gevent.spawn(self._follow_progress)
        requests = []
        try:
            for arrival in arrivals:
                self._sleep_until(arrival.at_s)
                requests.append(gevent.spawn(self._arrive, arrival))
                if len(requests) > 2 * self.plan.max_in_flight:
                    requests = [request for request in requests if not request.dead]
            self._sleep_until(total_seconds(self.plan.phases))
            gevent.joinall(requests)
        finally:
            progress.kill(block=False)
            gevent.killall(requests, block=False)
            self._write_results(len(arrivals))
            gc.unfreeze()
            self.finished = True

    def _start_clock(self) -> None:
        # What exists now lives as long as the run: the collector needn't walk it again and again.
        gc.collect()
        gc.freeze()
        self._t0_s = time.monotonic() + HEAD_START_S
        self._t0_unix_s = time.time() + HEAD_START_S
        self._cpu_at_start_s = time.process_time()
        if self._out is not None:
            (self._out / "requests.csv").unlink(missing_ok=True)
        self._write_progress()

    def _sleep_until(self, at_s: float) -> None:
        while (wait_s := self._t0_s + at_s - time.monotonic()) > 0:
            gevent.sleep(wait_s)

    def _arrive(self, arrival: Arrival) -> None:
        ledger, entry = self.ledger, self._entry(arrival)
        ledger.arrived += 1
        if ledger.in_flight >= self.plan.max_in_flight:
            entry.reason = ledgers.UNSENT
            ledger.add(entry)
            return
        ledger.in_flight += 1
        sent_unix_s = time.time()
        entry.sent_s = time.monotonic() - self._t0_s
        request = self._writer.write(arrival, self._t0_unix_s)
        answer = self._client.exchange(
            request, self._writer.method(arrival.route), self.plan.give_up_s
        )
        entry.done_s = time.monotonic() - self._t0_s
        entry.status, entry.reason, entry.degraded = answer.status, answer.reason, answer.degraded
        ledger.in_flight -= 1
        ledger.add(entry)
        self._report(entry, answer, sent_unix_s)

    def _entry(self, arrival: Arrival) -> Entry:
        return Entry(arrival.number, arrival.at_s, arrival.route, self._writer.request_id(arrival))

    def _follow_progress(self) -> None:
        while True:
            gevent.sleep(PROGRESS_EVERY_S)
            self._write_progress()

    def _write_progress(self) -> None:
        if self._out is None:
            return
        at_s = time.monotonic() - self._t0_s
        progress = self.ledger.progress(at_s, time.process_time() - self._cpu_at_start_s)
        clock = {"t0_monotonic_s": self._t0_s, "t0_unix_s": self._t0_unix_s, "pid": os.getpid()}
        self.ledger.append_requests(self._out / "requests.csv")
        ledgers.write_json(self._out / "progress.json", {**clock, **progress})

    def summary(self, scheduled: int) -> dict[str, object]:
        """Return what load.json holds."""
        lags_s = self.ledger.lags_s()
        return {
            "schema": "squall.load-run/1",
            "t0_monotonic_s": self._t0_s,
            "t0_unix_s": self._t0_unix_s,
            "scheduled": scheduled,
            "sent": len(lags_s),
            "lag_p50_ms": round(ledgers.percentile(lags_s, 0.5) * 1000, 3),
            "lag_p99_ms": round(ledgers.percentile(lags_s, 0.99) * 1000, 3),
            "cpu_s": round(time.process_time() - self._cpu_at_start_s, 3),
            "seed": self.plan.seed,
            "budget_s": self.plan.budget_s,
            "phases": [
                {"name": p.name, "seconds": p.seconds, "rates": dict(p.rates)}
                for p in self.plan.phases
            ],
        }

    def _write_results(self, scheduled: int) -> None:
        if self._out is None:
            return
        self._write_progress()
        self.ledger.write_requests(self._out / "requests.csv")
        latencies_s = (entry.latency_s for entry in self.ledger.entries)
        ledgers.write_histogram(
            self._out / "latency.hgrm", (s for s in latencies_s if s is not None)
        )
        ledgers.write_json(self._out / "load.json", self.summary(scheduled))
