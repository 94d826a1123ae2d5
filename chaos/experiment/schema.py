"""What an experiment is: one value, read from YAML, checked before anything is touched.

    vary    which settings, and the values of each: every combination is a cell
    fix     everything else, the same in every cell: policies, stations, numbers, load
    repeat  how often each cell is run, in an order that is shuffled anew each time
    measure what is looked at

A cell is run as a drill's arm is, with the whole policy set laid over the lab under a lease, so
that what isn't named is off and whatever ends the command leaves the lab as it was.
Source: experiments.md, "Settings chooser".
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from chaos.drill.schema import (
    DEFAULT_BUDGET_MS,
    DEFAULT_GIVE_UP_S,
    DEFAULT_MAX_IN_FLIGHT,
    DEFAULT_SEED,
    Capacity,
    LoadClass,
    PolicySwitch,
    Setup,
)
from kit.source_types import Part

DEFAULT_REPEAT = 3  # the least that has a spread, experiments.md
DEFAULT_SECONDS = 15.0  # drills.md R1: a fault phase of 15 to 20 s
DEFAULT_WARMUP_S = 5.0  # a limiter that remembers 10 s has seen half of it
DEFAULT_RATE_RPS = 20.0  # loadtests.plan's

Level: TypeAlias = bool | float | str
"""One value of what is varied: a switch's position or choice, a number, or a word."""


class ExperimentLoad(Part, frozen=True):
    """The arrivals of a cell, open-loop.

    Args:
        rate: Arrivals a second in all, > 0.
        mix: Weights by route or class.
        seconds: How long it is measured, > 0.
        warmup: In front, not measured, seconds > 0.
        classes: Names for requests that differ in more than their route.
        gaps: ``poisson`` or ``constant``.
        zipf: Exponent of the choice of videos.
        deadline_ms: Of every request, and what an answer in time is held against.
        give_up_s: When a client leaves.
        max_in_flight: Beyond it an arrival counts as unsent.
    """

    rate: float = DEFAULT_RATE_RPS
    mix: dict[str, float] = msgspec.field(default_factory=lambda: {"list": 1.0})
    seconds: float = DEFAULT_SECONDS
    warmup: float = DEFAULT_WARMUP_S
    classes: dict[str, LoadClass] = msgspec.field(default_factory=dict)
    gaps: Literal["poisson", "constant"] = "poisson"
    zipf: float = 1.0
    deadline_ms: float = DEFAULT_BUDGET_MS
    give_up_s: float = DEFAULT_GIVE_UP_S
    max_in_flight: int = DEFAULT_MAX_IN_FLIGHT


class Fix(Part, frozen=True):
    """What is the same in every cell, unless it is varied.

    Args:
        policies: The whole set; what isn't named is off.
        setup: Stations, settings, choices and drains; ``set`` in the file.
        load: The arrivals.
        capacity: What goodput of capacity is held against; None where nothing asks for it.
    """

    policies: dict[str, PolicySwitch] = msgspec.field(default_factory=dict)
    setup: Setup = msgspec.field(name="set", default_factory=Setup)
    load: ExperimentLoad = msgspec.field(default_factory=ExperimentLoad)
    capacity: Capacity | None = None


class Measure(Part, frozen=True):
    """One figure of a cell.

    Args:
        metric: One of ``chaos.drill.metrics.METRICS``, or ``p50_ms``, ``p95_ms``, ``p99_ms``.
        name: Short, for the table; "" takes the metric's.
        route: Only this route or class; "" for all.
        within_ms: For ``share_within``.
        of: Shares of what was ``sent``, or of what was ``answered`` with success.
        at: For what a service counts: which one.
        better: Whether more or less of it is better; "" goes by the metric.
    """

    metric: str
    name: str = ""
    route: str = ""
    within_ms: float | None = None
    of: Literal["sent", "answered"] = "sent"
    at: str = ""
    better: Literal["", "higher", "lower"] = ""

    @property
    def title(self) -> str:
        """What the table calls it."""
        return self.name or (f"{self.metric} of {self.route}" if self.route else self.metric)

    @property
    def is_less_better(self) -> bool:
        """Whether the smallest figure is the best one."""
        if self.better:
            return self.better == "lower"
        return self.metric.endswith(LOWER_ENDINGS) or self.metric.startswith(LOWER_BEGINNINGS)


LOWER_ENDINGS = ("_ms", "_calls", "_per_request")
LOWER_BEGINNINGS = ("rejected", "failed", "degraded", "wasted", "error", "seconds_to")


class Experiment(Part, frozen=True):
    """One experiment.

    Args:
        experiment: Its name, as on the command line.
        question: What it answers, in one sentence.
        vary: What differs: a key and its values, see ``chaos.experiment.factors``.
        measure: What is looked at; the first one is what the answer in words is about.
        fix: Everything else.
        repeat: How often each cell, >= 1.
        seed: Of the first repeat's arrivals; each next one has the next.
        cores: Needed at peak.
    """

    experiment: str
    question: str
    vary: dict[str, tuple[Level, ...]]
    measure: tuple[str | Measure, ...]
    fix: Fix = msgspec.field(default_factory=Fix)
    repeat: int = DEFAULT_REPEAT
    seed: int = DEFAULT_SEED
    cores: float = 1.2

    @property
    def measures(self) -> tuple[Measure, ...]:
        """``measure`` in its long form."""
        return tuple(
            each if isinstance(each, Measure) else Measure(metric=each) for each in self.measure
        )


Cell: TypeAlias = Mapping[str, Level]
"""One combination: what is varied to its value."""
