"""The event loop's watchdog: how late the loop is, and what blocked it.

Why: one blocking call stops every request of an async process, and afterwards nothing shows it. The
loop beats ten times a second and measures how late each beat comes; a thread that sees no beat
reads the main thread's stack while the loop is still blocked.
Source: design.md, "kit"; asyncio's debug mode names the callback only after it ended, and slows
everything.
Not handled: blocking shorter than 100 ms; it shows as lag.
"""

import asyncio
import logging
import math
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple

BEAT_S = 0.1
BLOCKED_S = 0.1  # later than this beyond its beat, the stack is read
WATCH_S = 0.05  # how often the thread looks; half of BLOCKED_S
KEPT_BLOCKS = 20
KEPT_FRAMES = 8
KEPT_NAMES = 50  # functions counted by name; more than that block a loop in no program we know
UNNAMED = "?"
WINDOW_BEATS = 10  # the last second

log = logging.getLogger(__name__)


class Block(NamedTuple):
    """One time the loop stood still.

    Args:
        function: The innermost function of the blocked stack, as ``module.Class.function:line``;
            ``?`` when the blocking code let no other thread look.
        stack: The innermost frames, outermost first.
        duration_ms: How long no beat came beyond the expected one.
        ended_unix_s: When it was over.
    """

    function: str
    stack: tuple[str, ...]
    duration_ms: float
    ended_unix_s: float


class LagStats(NamedTuple):
    """Lag since the last reset, milliseconds."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    beats: int


class Watchdog:
    """Beat on the running loop; ``start`` and ``stop`` from the loop's own thread.

    Args:
        on_beat: Called at each beat, for things that sample a few times a second.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        on_beat: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_beat = on_beat
        self._clock = clock
        self._beat_s = clock()
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._main_thread = threading.get_ident()
        self._caught: tuple[str, ...] | None = None
        self._recent: deque[float] = deque(maxlen=WINDOW_BEATS)
        self._lags = LagCounter()
        self.blocks: deque[Block] = deque(maxlen=KEPT_BLOCKS)
        self._named: Counter[str] = Counter()
        self.lag_s = 0.0

    def __repr__(self) -> str:
        return f"<Watchdog lag {self.lag_s * 1000:.1f} ms, {len(self.blocks)} blocks>"

    def start(self) -> None:
        """Begin to beat."""
        self._main_thread = threading.get_ident()
        self._schedule()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the beat and the thread."""
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join(timeout=2 * BEAT_S)

    def p99_s(self) -> float:
        """Return the worst lag of the last second (ten beats have no finer percentile)."""
        return max(self._recent, default=0.0)

    def stats(self) -> LagStats:
        """Return the lag since the last reset."""
        return self._lags.stats()

    def named(self) -> dict[str, int]:
        """Return how often each function was seen to block the loop since the last reset.

        By its qualified name without the line: ``faults.act.act``. Blocks nobody could look into
        are not in it.
        """
        return dict(self._named)

    def reset(self) -> None:
        """Forget lag and blocks."""
        self._lags = LagCounter()
        self.blocks.clear()
        self._named.clear()

    def _schedule(self) -> None:
        self._beat_s = self._clock()
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    def _beat(self) -> None:
        late_s = max(0.0, self._clock() - self._beat_s - BEAT_S)
        self.lag_s = late_s
        self._recent.append(late_s)
        self._lags.add(late_s)
        if late_s >= BLOCKED_S:
            self._report(self._caught or (UNNAMED,), late_s)
        self._caught = None
        self._on_beat()
        self._schedule()

    def _report(self, stack: tuple[str, ...], late_s: float) -> None:
        block = Block(stack[-1], stack, late_s * 1000.0, time.time())
        self.blocks.append(block)
        name = block.function.rpartition(":")[0]
        if name and (name in self._named or len(self._named) < KEPT_NAMES):
            self._named[name] += 1
        log.warning(
            "event loop blocked",
            extra={"function": block.function, "ms": round(block.duration_ms), "stack": stack},
        )

    def _watch(self) -> None:
        while not self._stopped.wait(WATCH_S):
            blocked = self._clock() - self._beat_s > BEAT_S + BLOCKED_S
            if blocked and self._caught is None:
                frame = sys._current_frames().get(self._main_thread)
                self._caught = read_stack(frame)


class LagCounter:
    """Percentiles of lag in constant memory: buckets of 10 % width from 0.1 ms."""

    FIRST_S = 0.0001
    GROWTH = 1.1
    BUCKETS = 128  # 0.1 ms x 1.1^127 is 18 s

    __slots__ = ("_counts", "_max_s", "_total")

    def __init__(self) -> None:
        self._counts = [0] * self.BUCKETS
        self._total = 0
        self._max_s = 0.0

    def add(self, lag_s: float) -> None:
        """Count one beat."""
        bucket = 0
        if lag_s > self.FIRST_S:
            bucket = min(self.BUCKETS - 1, math.ceil(math.log(lag_s / self.FIRST_S, self.GROWTH)))
        self._counts[bucket] += 1
        self._total += 1
        self._max_s = max(self._max_s, lag_s)

    def stats(self) -> LagStats:
        """Return percentiles, rounded up to the bucket's edge and never above the maximum."""
        return LagStats(
            self._percentile_ms(0.5), self._percentile_ms(0.99), self._max_s * 1000.0, self._total
        )

    def _percentile_ms(self, share: float) -> float:
        left = self._total * share
        for bucket, count in enumerate(self._counts):
            left -= count
            if left <= 0 and count:
                return min(self._max_s, self.FIRST_S * self.GROWTH**bucket) * 1000.0
        return 0.0


def read_stack(frame: FrameType | None) -> tuple[str, ...]:
    """Name the innermost frames of a stack, outermost first."""
    names: list[str] = []
    while frame is not None and len(names) < KEPT_FRAMES:
        module = frame.f_globals.get("__name__", "?")
        names.append(f"{module}.{frame.f_code.co_qualname}:{frame.f_lineno}")
        frame = frame.f_back
    return tuple(reversed(names))
