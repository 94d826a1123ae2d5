"""The schedule of an open-loop run: who arrives when, computed before anything is sent.

Why: users who arrive don't know how slow the server is. A closed loop waits for each answer
before it sends again, so a slow server is asked less and looks better than it is ("coordinated
omission").
Source: Schroeder et al., "Open Versus Closed: A Cautionary Tale" (NSDI 2006).

The same seed gives the same arrivals, to the microsecond and the video: a drill's control arm meets
exactly the load of its main arm.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from loadtests.zipf import Zipf

CONSTANT = "constant"
POISSON = "poisson"
GAPS = (CONSTANT, POISSON)


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of time with one rate per route.

    Args:
        name: What reports call it.
        seconds: How long, > 0.
        rates: Arrivals per second by route, each >= 0.
    """

    name: str
    seconds: float
    rates: Mapping[str, float]


class Arrival(NamedTuple):
    """One request that somebody wants at that moment.

    Args:
        number: Position in the schedule, from 0.
        at_s: Seconds since the run's start.
        route: Which kind of request.
        video: Which video, 1..n; routes without one ignore it.
    """

    number: int
    at_s: float
    route: str
    video: int


def build_arrivals(phases: Sequence[Phase], *, gaps: str, seed: int, zipf: Zipf) -> list[Arrival]:
    """Compute the whole schedule, ordered by time.

    Args:
        phases: One after the other, without gaps.
        gaps: ``constant`` (evenly spaced) or ``poisson`` (exponential gaps).
        seed: Same seed, same schedule.
        zipf: Which videos are asked for.

    Raises:
        ValueError: ``gaps`` is neither.
    """
    moments: list[tuple[float, str]] = []
    start_s = 0.0
    for index, phase in enumerate(phases):
        for route, rate in sorted(phase.rates.items()):
            # One stream per phase and route: changing one leaves the others as they were.
            rng = random.Random(f"{seed}/{index}/{route}")
            moments.extend(
                (start_s + at_s, route) for at_s in _moments(gaps, rate, phase.seconds, rng)
            )
        start_s += phase.seconds
    moments.sort()
    videos = random.Random(f"{seed}/videos")
    return [
        Arrival(number, at_s, route, zipf.choose(videos))
        for number, (at_s, route) in enumerate(moments)
    ]


def total_seconds(phases: Sequence[Phase]) -> float:
    """Return how long the phases last together."""
    return sum(phase.seconds for phase in phases)


def _moments(gaps: str, rate: float, seconds: float, rng: random.Random) -> Iterator[float]:
    if gaps not in GAPS:
        raise ValueError(f"gaps is {gaps!r}; it must be one of {', '.join(GAPS)}")
    if rate <= 0:
        return
    # A constant stream starts at a random offset, so that two routes don't march in step.
    at_s = rng.random() / rate if gaps == CONSTANT else rng.expovariate(rate)
    while at_s < seconds:
        yield at_s
        at_s += 1 / rate if gaps == CONSTANT else rng.expovariate(rate)
