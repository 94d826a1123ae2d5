"""What this process did lately: its last requests one by one, and the last second in figures.

Why: ``squall explain`` asks every hop what became of a request, and nothing is sampled or shipped:
2,000 summaries per process are 2 MB. The same ``add`` feeds the lease's digest and the metrics.
Source: design.md, "Errors" and "Control plane"; issue 2, explain.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import NamedTuple

import msgspec

from resilience.context import Note

KEPT_SUMMARIES = 2_000  # issue 2, explain
WINDOW_S = 1.0  # the lease is renewed each second


class RequestSummary(msgspec.Struct, frozen=True):
    """One request as this hop saw it.

    Args:
        request_id: The same on every hop.
        trace_id: 32 hex digits.
        instance: This hop, e.g. ``video.2``.
        route: Template or method, never a raw path: it labels metrics.
        started_unix_s: When it arrived, by this machine's wall clock, to order the hops.
        duration_ms: Until the end of the answer.
        remaining_in_ms: Budget left when it arrived; None without a deadline.
        remaining_out_ms: Budget left when it was answered.
        status: ``OK`` or the error's reason.
        code: The HTTP status, or the one that the gRPC status maps to.
        notes: Decisions taken here, in order.
    """

    request_id: str
    trace_id: str
    instance: str
    route: str
    started_unix_s: float
    duration_ms: float
    remaining_in_ms: float | None = None
    remaining_out_ms: float | None = None
    status: str = "OK"
    code: int = 200
    notes: Sequence[Note] = ()


class Rates(NamedTuple):
    """The last second: requests per second, 99th percentile, server errors per second."""

    rps: float
    p99_ms: float
    failures: float


class Recorder:
    """Keep summaries, count outcomes.

    Args:
        kept: How many summaries.
        clock: Monotonic seconds.

    ``add`` is O(1); ``find`` looks at everything kept.
    """

    def __init__(
        self, kept: int = KEPT_SUMMARIES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._summaries: deque[tuple[float, RequestSummary]] = deque(maxlen=kept)
        self._by_code: Counter[int] = Counter()
        self._listeners: list[Callable[[RequestSummary], None]] = []

    def __repr__(self) -> str:
        return f"<Recorder {len(self._summaries)} kept, {sum(self._by_code.values())} counted>"

    def on_add(self, listener: Callable[[RequestSummary], None]) -> None:
        """Call this with each summary; it must be quick and must not raise."""
        self._listeners.append(listener)

    def add(self, summary: RequestSummary) -> None:
        """Take note of a request that has ended."""
        self._summaries.append((self._clock(), summary))
        self._by_code[summary.code] += 1
        for listener in self._listeners:
            listener(summary)

    def find(self, request_id: str) -> list[RequestSummary]:
        """Return what is known of a request, oldest first; retries make several."""
        return [one for _, one in self._summaries if one.request_id == request_id]

    def newest(self, count: int) -> list[RequestSummary]:
        """Return the last few summaries, newest first."""
        return [one for _, (_, one) in zip(range(count), reversed(self._summaries), strict=False)]

    def rates(self) -> Rates:
        """Return the last second in figures."""
        now_s = self._clock()
        recent = list(takewhile(lambda kept: kept[0] > now_s - WINDOW_S, reversed(self._summaries)))
        if not recent:
            return Rates(0.0, 0.0, 0.0)
        # More than are kept in one second: the span that is kept stands for the whole.
        full = len(recent) == self._summaries.maxlen
        span_s = max(0.001, now_s - recent[-1][0]) if full else WINDOW_S
        durations = sorted(one.duration_ms for _, one in recent)
        failed = sum(one.code >= 500 for _, one in recent)
        p99_ms = durations[min(len(durations) - 1, int(len(durations) * 0.99))]
        return Rates(len(recent) / span_s, p99_ms, failed / span_s)

    def by_code(self) -> dict[str, int]:
        """Count the outcomes since the last reset, by code."""
        return {str(code): count for code, count in sorted(self._by_code.items())}

    def reset_counts(self) -> None:
        """Zero the counters; summaries stay, they are evidence."""
        self._by_code.clear()
