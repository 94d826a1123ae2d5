"""Timing: CPU nanoseconds per step, of several steps side by side.

On a shared machine wall time is noise, so what counts is the CPU time of this process, threads that
a package starts included. Contenders take turns in short samples, each round beginning with another
one, so that a slow moment hits all of them; the best of the rounds says what the code costs, the
median what the machine made of it. The collector is off while a sample runs, as in ``timeit``.
"""

import asyncio
import gc
from collections.abc import Callable, Mapping
from inspect import isawaitable
from itertools import repeat
from time import process_time_ns

import uvloop

from bench.contender import Step

SAMPLE_MS = 20.0  # long against the clock's grain of 1 µs, short against a neighbour's burst
LOOP_TURN_EVERY = 16  # async steps between two turns of the loop, which frees timers and tasks
_FIRST_CALLS = 32
_CALIBRATE_SHARE = 0.1  # a trial run of a tenth of a sample says how many calls fill it


class Stopwatch:
    """Times steps on one event loop, uvloop's as in the lab. Use it as a context manager.

    Args:
        sample_ms: CPU time of one sample, > 0.
    """

    def __init__(self, sample_ms: float = SAMPLE_MS) -> None:
        self._sample_ns = sample_ms * 1e6
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)

    def __enter__(self) -> "Stopwatch":
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def prepare(self, make: Callable[[], object]) -> Step:
        """Set a contender up on the loop."""

        async def prepared() -> Step:
            made = make()
            if isawaitable(made):
                made = await made
            assert callable(made), f"{make} made {made!r}, no step"
            return made

        return self._runner.run(prepared())

    def run(self, step: Step, calls: int) -> int:
        """Do steps; return the CPU nanoseconds they took."""
        return self._runner.run(_spend(step, calls))

    def calls_for_sample(self, step: Step) -> int:
        """Say how many steps fill a sample."""
        calls = _FIRST_CALLS
        while (spent_ns := self.run(step, calls)) < self._sample_ns * _CALIBRATE_SHARE:
            calls *= 2
        return max(_FIRST_CALLS, int(calls * self._sample_ns / spent_ns))

    def side_by_side(self, steps: Mapping[str, Step], rounds: int) -> dict[str, list[float]]:
        """Time steps in turns; return for each the nanoseconds per call of every round."""
        calls = {name: self.calls_for_sample(step) for name, step in steps.items()}
        names = list(steps)
        samples: dict[str, list[float]] = {name: [] for name in names}
        for round_number in range(rounds if names else 0):
            first = round_number % len(names)
            gc.collect()
            gc.disable()
            try:
                for name in names[first:] + names[:first]:
                    samples[name].append(self.run(steps[name], calls[name]) / calls[name])
            finally:
                gc.enable()
        return samples


async def _spend(step: Step, calls: int) -> int:
    first = step()
    if not isawaitable(first):
        begin_ns = process_time_ns()
        for _ in repeat(None, calls):
            step()
        return process_time_ns() - begin_ns
    await first
    begin_ns = process_time_ns()
    for _ in repeat(None, max(1, calls // LOOP_TURN_EVERY)):
        for _ in repeat(None, LOOP_TURN_EVERY):
            await step()  # type: ignore[misc]  # it returned an awaitable a moment ago
        await asyncio.sleep(0)
    return process_time_ns() - begin_ns
