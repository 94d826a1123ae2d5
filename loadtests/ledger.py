"""The ledger of a run: what became of every arrival, and the files that say so.

Pure but for writing files: entries come in as values, so that counting is tested with plain
numbers. Latency counts from the *scheduled* time: an answer to a request that left late is late.
"""

import csv
import json
import os
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COLUMNS = (
    "n", "scheduled_s", "sent_s", "done_s", "route", "status", "reason", "degraded", "request_id",
    "criticality", "tenant",
)  # fmt: skip
UNSENT = "UNSENT"
RECENT_IDS = 8  # of each kind, in progress.json: enough to ask `explain` about a few
REJECTIONS = (429, 503)
HDR_LOWEST_US, HDR_HIGHEST_US, HDR_DIGITS = 1, 600_000_000, 3  # 1 µs to 10 minutes


@dataclass(slots=True)
class Entry:
    """One arrival's fate; times in seconds since the run's start, None when it was never sent."""

    number: int
    scheduled_s: float
    route: str
    request_id: str
    sent_s: float | None = None
    done_s: float | None = None
    status: int = 0
    reason: str = ""
    degraded: str = ""

    @property
    def latency_s(self) -> float | None:
        """Seconds from the scheduled time to the answer; None without one."""
        return None if self.done_s is None else self.done_s - self.scheduled_s

    def kind(self, budget_s: float) -> str:
        """Say in one word how it ended, as reports count it."""
        if self.sent_s is None:
            return "unsent"
        if 200 <= self.status < 300:
            latency_s = self.latency_s
            return "in_time" if latency_s is not None and latency_s <= budget_s else "late"
        if self.status in REJECTIONS:
            return "rejected"
        return "expired" if self.status == 504 else "failed"


class Ledger:
    """Collect entries as they finish.

    Args:
        budget_s: An answer later than this after its scheduled time isn't in time.
        criticality: Written into every row.
        tenant: Written into every row.
    """

    def __init__(self, budget_s: float, criticality: str = "", tenant: str = "") -> None:
        self.entries: list[Entry] = []
        self.in_flight = 0
        self.arrived = 0
        self.kinds: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.degraded = 0
        self._written = 0
        self._budget_s = budget_s
        self._labels = (criticality, tenant)
        self._recent: dict[str, deque[str]] = {}

    def add(self, entry: Entry) -> None:
        """Count an arrival that has ended, or that was never sent."""
        self.entries.append(entry)
        kind = entry.kind(self._budget_s)
        self.kinds[kind] += 1
        if entry.reason:
            self.reasons[entry.reason] += 1
        if entry.degraded:
            self.degraded += 1
            self._remember("degraded", entry.request_id)
        self._remember(kind, entry.request_id)

    def lags_s(self) -> list[float]:
        """Return how late each request left, sorted."""
        return sorted(e.sent_s - e.scheduled_s for e in self.entries if e.sent_s is not None)

    def progress(self, at_s: float, cpu_s: float) -> dict[str, Any]:
        """Say how far the run is: counts since its start, and a few recent ids of each kind."""
        return {
            "at_s": round(at_s, 3),
            "cpu_s": round(cpu_s, 3),
            "scheduled": self.arrived,
            "in_flight": self.in_flight,
            "lag_p99_ms": round(percentile(self._recent_lags_s(), 0.99) * 1000, 2),
            "kinds": dict(self.kinds),
            "reasons": dict(self.reasons),
            "degraded": self.degraded,
            "recent": {kind: list(ids) for kind, ids in self._recent.items()},
        }

    def append_requests(self, path: Path) -> None:
        """Write the rows that ended since the last time, so that a reader can follow the run."""
        fresh = self.entries[self._written :]
        with path.open("a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if not self._written and not file.tell():
                writer.writerow(COLUMNS)
            writer.writerows(map(self._row, fresh))
        self._written += len(fresh)

    def write_requests(self, path: Path) -> None:
        """Replace the file by one row per arrival, in the order of the schedule."""
        partial = path.with_suffix(".partial")
        with partial.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(self._row(e) for e in sorted(self.entries, key=lambda e: e.number))
        os.replace(partial, path)

    def _row(self, entry: Entry) -> Sequence[object]:
        return (
            entry.number, f"{entry.scheduled_s:.6f}", _time(entry.sent_s), _time(entry.done_s),
            entry.route, entry.status, entry.reason, entry.degraded, entry.request_id,
            *self._labels,
        )  # fmt: skip

    def _recent_lags_s(self, count: int = 2000) -> list[float]:
        recent = self.entries[-count:]
        return sorted(e.sent_s - e.scheduled_s for e in recent if e.sent_s is not None)

    def _remember(self, kind: str, request_id: str) -> None:
        self._recent.setdefault(kind, deque(maxlen=RECENT_IDS)).append(request_id)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of them doesn't exceed; 0.0 of nothing."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def write_histogram(path: Path, latencies_s: Iterable[float]) -> None:
    """Write HdrHistogram's percentile distribution, in milliseconds, three digits exact."""
    from hdrh.histogram import HdrHistogram  # here: pure ledgers don't need it

    histogram = HdrHistogram(HDR_LOWEST_US, HDR_HIGHEST_US, HDR_DIGITS)
    for latency_s in latencies_s:
        histogram.record_value(max(HDR_LOWEST_US, round(latency_s * 1e6)))
    with path.open("wb") as file:
        histogram.output_percentile_distribution(file, 1000.0)


def write_json(path: Path, data: object) -> None:
    """Replace a file at once, so that a reader never sees half of it."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(data))
    os.replace(partial, path)


def bucket_ms(response_time: float) -> int:
    """Round to three significant digits; Locust's own two make 99 % lie above the maximum.

    Locust 2.47 looks this function up by name each time, and its documentation says to replace it.
    """
    if response_time < 1000:
        return round(response_time)
    if response_time < 10_000:
        return int(round(response_time, -1))
    return int(round(response_time, -2))


def _time(at_s: float | None) -> str:
    return "" if at_s is None else f"{at_s:.6f}"
