"""Figures with a 95 % confidence interval, and the interval of a difference of two.

Pure. Shares: Wilson's interval. Rates: means of one-second batches with Student's t. Percentiles:
order statistics, whose ranks are binomial. Differences of any of them: MOVER, which recovers the
variance of each figure from its own interval; of two Wilson intervals it is Newcombe's method 10.

Sources: E. B. Wilson, 1927; R. G. Newcombe, "Interval Estimation for the Difference Between
Independent Proportions", 1998; G. Y. Zou & A. Donner, "Construction of confidence limits about
effect measures", 2008; Abramowitz & Stegun 26.7.5 for t.
Not handled: neighbours in a queue resemble one another, so real intervals are somewhat wider; and
two runs of one seed meet the same arrivals, which would allow a narrower one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

CONFIDENCE = 0.95
Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
MIN_BATCHES = 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and where it may truly lie.

    Args:
        value: As observed.
        low: Of its 95 % interval; −∞ when it can't be said.
        high: Of its 95 % interval; ∞ when it can't be said.
        samples: What it rests on.
    """

    value: float
    low: float
    high: float
    samples: int

    @property
    def is_bounded(self) -> bool:
        """Whether both ends can be said."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference is more than chance explains."""
        return self.low > 0 or self.high < 0


def share(hits: int, total: int) -> Estimate | None:
    """Return a share with Wilson's interval; None of nothing."""
    if total == 0:
        return None
    p, z2 = hits / total, Z * Z
    middle = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = Z / (1 + z2 / total) * math.sqrt(p * (1 - p) / total + z2 / (4 * total * total))
    # At 0 and 1 the interval ends there exactly; rounding must not step over.
    return Estimate(p, min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half)), total)


def batch_mean(batches: Sequence[float]) -> Estimate | None:
    """Return the mean of batches with Student's interval; None of fewer than two."""
    if len(batches) < MIN_BATCHES:
        return None
    mean = fmean(batches)
    half = student_t(len(batches) - 1) * stdev(batches) / math.sqrt(len(batches))
    return Estimate(mean, mean - half, mean + half, len(batches))


def percentile(ordered: Sequence[float], of: float) -> Estimate | None:
    """Return a percentile with the interval between two order statistics.

    Args:
        ordered: Ascending.
        of: 0..1.

    Returns:
        None of nothing; an end is infinite when the samples are too few for it to lie among them.
    """
    total = len(ordered)
    if total == 0:
        return None
    half = Z * math.sqrt(total * of * (1 - of))
    low, high = math.floor(total * of - half) - 1, math.ceil(total * of + half)
    value = ordered[max(0, math.ceil(of * total) - 1)]
    return Estimate(
        value,
        ordered[low] if low >= 0 else -math.inf,
        ordered[high] if high < total else math.inf,
        total,
    )


def difference(a: Estimate, b: Estimate) -> Estimate:
    """Return b − a with the MOVER interval."""
    value = b.value - a.value
    low = value - math.hypot(b.value - b.low, a.high - a.value)
    high = value + math.hypot(b.high - b.value, a.value - a.low)
    return Estimate(value, low, high, min(a.samples, b.samples))


def student_t(freedom: int) -> float:
    """Return the two-sided 95 % quantile of Student's t; exact for 1 and 2, else within 0.3 %."""
    share_below = 0.5 + CONFIDENCE / 2
    if freedom == 1:
        return math.tan(math.pi * (share_below - 0.5))
    if freedom == 2:
        alpha = 4 * share_below * (1 - share_below)
        return 2 * (share_below - 0.5) * math.sqrt(2 / alpha)
    z, n = Z, float(freedom)
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    g4 = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + g1 / n + g2 / n**2 + g3 / n**3 + g4 / n**4
