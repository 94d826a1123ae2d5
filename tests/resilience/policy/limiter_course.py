"""Drive every limiter through the same course, and print what it did.

    python -m tests.resilience.policy.limiter_course

The course is ``overload_model.COURSE``: two workers of 100 ms under a deadline of a second; steady
at half their capacity, ten times it, a dependency five times slower, recovery. Arrivals and service
times are drawn by seed, the same for all. Nothing sleeps.
"""

import random
from collections.abc import Callable, Mapping
from statistics import median
from typing import NamedTuple

from resilience.policy.aimd import AimdLimit
from resilience.policy.bbr import BbrLimiter
from resilience.policy.envoy_gradient import EnvoyGradientLimit
from resilience.policy.fixed import FixedLimit
from resilience.policy.gradient2 import Gradient2Limit
from resilience.policy.limit import AdaptiveLimiter, Limit
from resilience.policy.vegas import VegasLimit
from resilience.policy.windowed import WindowedLimit
from tests.resilience.policy.overload_model import COURSE, MakeGate, OverloadModel, Run

SEEDS = 20
CAPACITY_RPS, SLOW_RPS = 20.0, 4.0
STEADY_S, STEP_S, SLOW_S, RECOVERY_S, END_S = 0.0, 10.0, 25.0, 40.0, 50.0


class Marks(NamedTuple):
    """What a run showed: shares of what was possible, a latency, and a time to react."""

    steady: float
    step: float
    slow: float
    recovery: float
    step_p99_s: float
    react_s: float


def _gate(make: Callable[[], Limit], share: float | None) -> MakeGate:
    return lambda pressure: AdaptiveLimiter(make(), deadline_share=share)


def limiters(share: float | None = 0.5) -> Mapping[str, MakeGate | None]:
    """Return every limiter by name, with or without the deadline cap, and none at all."""
    return {
        "none": None,
        "bbr": lambda pressure: BbrLimiter(pressure, deadline_share=share),
        "vegas": _gate(lambda: VegasLimit(random.Random(1)), share),
        "gradient2": _gate(lambda: WindowedLimit(Gradient2Limit()), share),
        "aimd": _gate(AimdLimit, share),
        "envoy_gradient": _gate(lambda: EnvoyGradientLimit(random.Random(1)), share),
        "fixed 20": _gate(lambda: FixedLimit(20), share),
        "fixed 1000": _gate(lambda: FixedLimit(1000), share),
    }


def drive(make_gate: MakeGate | None, seed: int, cv: float = 0.25) -> Marks:
    """Return the marks of one run."""
    run = OverloadModel(make_gate, seed, phases=COURSE, cv=cv).run()
    return Marks(
        steady=_served(run, STEADY_S, STEP_S, CAPACITY_RPS),
        step=_served(run, STEP_S, SLOW_S, CAPACITY_RPS),
        slow=_served(run, SLOW_S, RECOVERY_S, SLOW_RPS),
        recovery=_served(run, RECOVERY_S, END_S, CAPACITY_RPS),
        step_p99_s=run.p99_s(STEP_S, SLOW_S),
        react_s=_seconds_to_react(run),
    )


def _served(run: Run, from_s: float, to_s: float, capacity_rps: float) -> float:
    possible = min(run.count(run.offered, from_s, to_s), capacity_rps * (to_s - from_s))
    return run.answered(from_s, to_s) / possible


def _seconds_to_react(run: Run) -> float:
    """Return how long after the step 2 s follow with 90 % of capacity answered; all if never."""
    for tenth in range(int((SLOW_S - STEP_S - 2.0) * 10)):
        begin_s = STEP_S + tenth / 10
        if run.answered(begin_s, begin_s + 2.0) >= 0.9 * 2.0 * CAPACITY_RPS:
            return tenth / 10
    return SLOW_S - STEP_S


def table(share: float | None, cv: float) -> list[str]:
    """Return a Markdown table: medians of all seeds, in brackets the least goodput."""
    lines = [
        "| limiter | steady | ten times | slow | recovery | p99, ten times | react |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, make_gate in limiters(share).items():
        runs = [drive(make_gate, seed, cv) for seed in range(SEEDS)]
        mid = Marks(*(median(column) for column in zip(*runs, strict=True)))
        least = min(run.step for run in runs)
        lines.append(
            f"| {name} | {mid.steady:.2f} | {mid.step:.2f} ({least:.2f}) | {mid.slow:.2f} | "
            f"{mid.recovery:.2f} | {mid.step_p99_s * 1000:.0f} ms | {mid.react_s:.1f} s |"
        )
    return lines


if __name__ == "__main__":
    for share, cv in ((0.5, 0.25), (None, 0.25), (0.5, 1.0)):
        print(f"\ndeadline share {share}, cv {cv}\n")
        print("\n".join(table(share, cv)))
