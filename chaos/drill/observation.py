"""A figure with what it rests on: value, standard deviation, samples. Pure.

Where each deviation comes from (drills.md R3, R4):

- *shares*: binomial, as that of Jeffreys' posterior at (k+1/2)/(n+1), so that 400 of 400 isn't
  claimed to be certain (Brown, Cai & DasGupta, "Interval Estimation for a Binomial Proportion",
  2001, who recommend it for small n);
- *counts*: Poisson, the root of the count, of one more than was seen so that none isn't certain;
- *rates* and shares of time: means of one-second batches (Law & Kelton, "batch means"), since
  neighbours in a queue resemble one another; never less than the independent ones above;
- *ratios* of two figures: the delta method, their relative deviations added in squares.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import stdev


@dataclass(frozen=True, slots=True)
class Observation:
    """A figure.

    Args:
        value: None when there was nothing to observe, or it didn't happen.
        sd: Standard deviation of ``value``; None when it can't be said.
        samples: What it rests on.
    """

    value: float | None
    sd: float | None = None
    samples: int = 0


NOTHING_SEEN = Observation(None)


def share(hits: int, total: int) -> Observation:
    """Return hits over total as a share with its binomial deviation."""
    if total == 0:
        return NOTHING_SEEN
    smoothed = (hits + 0.5) / (total + 1)
    return Observation(hits / total, math.sqrt(smoothed * (1 - smoothed) / (total + 2)), total)


def count(hits: int) -> Observation:
    """Return a count with its Poisson deviation."""
    return Observation(float(hits), math.sqrt(hits + 1), hits)


def ratio(over: Observation, under: Observation) -> Observation:
    """Return one figure over another; nothing when the lower one is 0 or unknown."""
    if over.value is None or not under.value:
        return NOTHING_SEEN
    value = over.value / under.value
    # Not relative to ``over``: it may be 0, and its deviation isn't.
    spread = math.hypot(over.sd or 0.0, value * (under.sd or 0.0)) / abs(under.value)
    return Observation(value, spread, over.samples)


def batch_sd(overs: Sequence[float], unders: Sequence[float]) -> float:
    """Return the deviation of sum(overs)/sum(unders) from the spread of its batches.

    Args:
        overs: Per batch.
        unders: Per batch, as many; not all 0.

    Source: Cochran, "Sampling Techniques", 6.4 (the ratio estimator); 0 for a single batch.
    """
    total = sum(unders)
    if len(overs) < 2 or total <= 0:
        return 0.0
    value = sum(overs) / total
    residuals = [over - value * under for over, under in zip(overs, unders, strict=True)]
    return stdev(residuals) * math.sqrt(len(residuals)) / total
