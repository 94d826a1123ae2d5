"""Summary: the medians of a contender's runs, and whether the aims are met.

A median is over a contender's runs at one cv; of "never" (a limiter that did not settle) it takes
the longest. The inversions are the *sum* of all runs: a promise that holds in the median is none.
"""

from collections.abc import Callable, Sequence
from math import inf
from statistics import median
from typing import NamedTuple

from bench.limiters.contenders import DEFAULT, ENVOY
from bench.limiters.figures import Figures, figures
from bench.limiters.run import Run
from bench.measure import Verdict

AIM_GOODPUT = 0.95  # issue 4: of the declared capacity, at 10 C
ENVOY_MARGIN = 0.02  # issue 4: at least Envoy's goodput minus this


class Summary(NamedTuple):
    """A contender at one cv.

    Args:
        contender: Its name.
        cv: Of the service times.
        runs: How many.
        repeated: How many of them had to be run again.
        spoiled: How many were spoiled to the last try.
        goodput: And what follows: medians of ``Figures``; None for never, or for nothing to count.
        inversions: Of all runs together.
        cpu_us: CPU of the service per request, microseconds.
        proxy_cpu_us: CPU of Envoy per request.
        lag_p99_s: The worst run's.
    """

    contender: str
    cv: float
    runs: int
    repeated: int
    spoiled: int
    goodput: float
    goodput_range: tuple[float, float]
    goodput_slow: float
    p99_s: float | None
    refused: dict[str, float]
    critical_ratio: float
    inversions: int
    react_s: float | None
    react_slow_s: float | None
    recover_s: float | None
    jain: float | None
    jain_of_asked: float | None
    broken: float
    cpu_us: float
    proxy_cpu_us: float
    lag_p99_s: float


def summaries(runs: Sequence[Run]) -> list[Summary]:
    """Return one summary for each contender and cv, in the order of their first run."""
    groups: dict[tuple[str, float], list[Run]] = {}
    for one in runs:
        groups.setdefault((one.contender, one.cv), []).append(one)
    return [summary(group) for group in groups.values()]


def summary(runs: Sequence[Run]) -> Summary:
    """Return the medians of runs of one contender at one cv."""
    each = [figures(one.records) for one in runs]
    goodputs = [one.goodput for one in each]
    levels = sorted({level for one in each for level in one.refused})
    return Summary(
        contender=runs[0].contender,
        cv=runs[0].cv,
        runs=len(runs),
        repeated=sum(one.tries > 1 for one in runs),
        spoiled=sum(not one.is_sound for one in runs),
        goodput=median(goodputs),
        goodput_range=(min(goodputs), max(goodputs)),
        goodput_slow=median(one.goodput_slow for one in each),
        p99_s=_median(each, lambda one: one.p99_s),
        refused={level: median(one.refused.get(level, 0) for one in each) for level in levels},
        critical_ratio=median(one.critical_ratio for one in each),
        inversions=sum(one.inversions for one in each),
        react_s=_median(each, lambda one: one.react_s),
        react_slow_s=_median(each, lambda one: one.react_slow_s),
        recover_s=_median(each, lambda one: one.recover_s),
        jain=_median(each, lambda one: one.jain),
        jain_of_asked=_median(each, lambda one: one.jain_of_asked),
        broken=median(one.broken for one in each),
        cpu_us=median(_cpu_us(one, _service_cpu_s(one)) for one in runs),
        proxy_cpu_us=median(_cpu_us(one, one.proxy_cpu_s) for one in runs),
        lag_p99_s=max(one.lag_p99_s for one in runs),
    )


class Aim(NamedTuple):
    """One aim of the issue, and what was found."""

    text: str
    verdict: Verdict
    found: str


def aims(found: Sequence[Summary], cv: float) -> list[Aim]:
    """Judge the default at one cv."""
    by_name = {one.contender: one for one in found if one.cv == cv}
    ours, theirs = by_name.get(DEFAULT), by_name.get(ENVOY)
    if ours is None:
        return []
    unknown = Verdict.UNKNOWN, "Envoy was not measured"
    return [
        Aim(
            f"goodput at 10 C >= {AIM_GOODPUT}",
            _verdict(round(ours.goodput, 3) >= AIM_GOODPUT),
            f"{ours.goodput:.3f}",
        ),
        Aim(
            "never refuses critical while it admits sheddable",
            _verdict(ours.inversions == 0),
            f"{ours.inversions} in {ours.runs} runs",
        ),
        Aim(
            "not dominated by Envoy",
            *(unknown if theirs is None else _dominance(ours, theirs)),
        ),
        Aim(
            f"goodput >= Envoy's - {ENVOY_MARGIN}",
            *(unknown if theirs is None else _margin(ours, theirs)),
        ),
    ]


def dominates(one: Summary, other: Summary) -> bool:
    """Whether one is nowhere worse than the other and somewhere better."""
    pairs = list(zip(_merits(one), _merits(other), strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def _merits(one: Summary) -> tuple[float, ...]:
    """Return what more of is better."""
    times_s = (one.p99_s, one.react_s, one.react_slow_s, one.recover_s)
    longest = tuple(-(inf if each is None else each) for each in times_s)
    return one.goodput, one.goodput_slow, one.critical_ratio, -one.inversions, *longest


def _dominance(ours: Summary, theirs: Summary) -> tuple[Verdict, str]:
    better = sum(a > b for a, b in zip(_merits(ours), _merits(theirs), strict=True))
    count = len(_merits(ours))
    return _verdict(not dominates(theirs, ours)), f"better in {better} of {count} figures"


def _margin(ours: Summary, theirs: Summary) -> tuple[Verdict, str]:
    held = round(ours.goodput, 3) >= round(theirs.goodput - ENVOY_MARGIN, 3)
    return _verdict(held), f"{ours.goodput:.3f} against {theirs.goodput:.3f}"


def _verdict(is_held: bool) -> Verdict:
    return Verdict.HELD if is_held else Verdict.MISSED


def _median(each: Sequence[Figures], of: Callable[[Figures], float | None]) -> float | None:
    values = [of(one) for one in each]
    middle = median(inf if value is None else value for value in values)
    return None if middle == inf else middle


def _service_cpu_s(run: Run) -> float:
    value = run.service["cpu_s"]
    assert isinstance(value, float)
    return value


def _cpu_us(run: Run, cpu_s: float) -> float:
    """Return CPU per request of the trace, whoever answered it."""
    return cpu_s * 1e6 / max(1, len(run.records))
