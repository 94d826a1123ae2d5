"""Noise: is the difference between two cells more than chance explains? Pure.

Each cell has one value a repeat. How much those vary is pooled over all cells, since three repeats
of one cell know little of their own spread (Montgomery, "Design and Analysis of Experiments", 3.4:
the error mean square); and a cell is never known better than its single runs say of themselves:

    s² = max( Σ (x − cell's mean)² / Σ (n − 1),  mean of the runs' own variances )
    a and b differ when |mean a − mean b| > 3 × s × sqrt(1/n_a + 1/n_b)

Three deviations as everywhere else (drills.md R4): of a hundred comparisons of equals about one is
marked when the spread is known from ten runs or so, and hardly any with more.
Not handled: cells that vary differently (the pooled spread is then too wide for some of them); one
repeat of a percentile, whose spread nobody knows, so nothing is marked.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from chaos.drill.observation import Observation

BEYOND_SD = 3.0


@dataclass(frozen=True, slots=True)
class CellFigure:
    """One measure of one cell, over its sound runs.

    Args:
        values: One a run that could be judged; none when there was none.
        mean: Of them; None when there are none.
        sd: Of a single run, pooled over all cells; None when nobody knows.
    """

    values: Sequence[float]
    mean: float | None
    sd: float | None

    @property
    def half_width(self) -> float | None:
        """Return three deviations of the mean; None when nobody knows."""
        if self.sd is None or not self.values:
            return None
        return BEYOND_SD * self.sd / math.sqrt(len(self.values))


def pool(runs: Sequence[Sequence[Observation]]) -> list[CellFigure]:
    """Return the figures of all cells, with the spread that they have in common.

    Args:
        runs: By cell, what each of its sound runs showed.
    """
    values = [[seen.value for seen in cell if seen.value is not None] for cell in runs]
    own = [seen.sd**2 for cell in runs for seen in cell if seen.value is not None and seen.sd]
    freedom = sum(max(0, len(cell) - 1) for cell in values)
    squares = sum((each - fmean(cell)) ** 2 for cell in values if cell for each in cell)
    known = [squares / freedom] if freedom else []
    known += [fmean(own)] if own else []
    sd = math.sqrt(max(known)) if known else None
    return [CellFigure(cell, fmean(cell) if cell else None, sd) for cell in values]


def differ(a: CellFigure, b: CellFigure) -> bool:
    """Whether two cells differ by more than chance explains."""
    if a.mean is None or b.mean is None or a.sd is None:
        return False
    return abs(a.mean - b.mean) > BEYOND_SD * a.sd * math.sqrt(
        1 / len(a.values) + 1 / len(b.values)
    )
