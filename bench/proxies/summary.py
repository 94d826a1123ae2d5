"""Summary: medians of the rounds, and ratios that a busy machine does not move.

A ratio is of two figures of the same round, then the median over the rounds: what the machine did
at that time, it did to both. The median of each alone, divided, would compare two moments.
"""

from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from bench.proxies.l7_peers import OURS
from bench.proxies.session import Sample


class Summary(NamedTuple):
    """A contender in one cell.

    Args:
        contender: Its name.
        cell: Its name.
        rounds: How many were measured.
        rps: Median of answers per second.
        cpu_us: Median of CPU per unit, microseconds; None where nobody stands between.
        p99_s: Median of the 99th percentiles, seconds.
        errors: Of all rounds.
        cpu_ratio: Ours over theirs, median of the rounds' ratios; None without both.
        rps_ratio: Ours over theirs, the same.
    """

    contender: str
    cell: str
    rounds: int
    rps: float
    cpu_us: float | None
    p99_s: float
    errors: int
    cpu_ratio: float | None
    rps_ratio: float | None


def summaries(samples: Sequence[Sample], order: Sequence[str]) -> list[Summary]:
    """Return one for each contender and cell, the contenders in this order."""
    cells = list(dict.fromkeys(each.cell for each in samples))
    made = []
    for cell in cells:
        of_cell = [each for each in samples if each.cell == cell]
        made += [_summary(of_cell, cell, name) for name in order if _of(of_cell, name)]
    return made


def ratio(
    ours: Sequence[Sample], theirs: Sequence[Sample], figure: Callable[[Sample], float | None]
) -> float | None:
    """Return the median over rounds of ours over theirs; None when no round has both."""
    ours_by_round = {each.round: figure(each) for each in ours}
    found = []
    for each in theirs:
        above, below = ours_by_round.get(each.round), figure(each)
        if above is not None and below:
            found.append(above / below)
    return median(found) if found else None


def _summary(of_cell: Sequence[Sample], cell: str, name: str) -> Summary:
    own, ours = _of(of_cell, name), _of(of_cell, OURS)
    costs = [each.cpu_us for each in own if each.cpu_us is not None]
    return Summary(
        contender=name,
        cell=cell,
        rounds=len(own),
        rps=median(each.wrk.rps for each in own),
        cpu_us=median(costs) if costs else None,
        p99_s=median(each.wrk.p99_s for each in own),
        errors=sum(each.wrk.errors for each in own),
        cpu_ratio=None if name == OURS else ratio(ours, own, lambda each: each.cpu_us),
        rps_ratio=None if name == OURS else ratio(ours, own, lambda each: each.wrk.rps),
    )


def _of(samples: Sequence[Sample], name: str) -> list[Sample]:
    return [each for each in samples if each.contender == name]
