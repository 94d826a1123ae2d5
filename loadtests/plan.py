"""A plan: everything that decides what an open-loop run sends, as one value.

It comes from a JSON file (a drill writes one) or from the arguments of a command line or of
Locust's start form. Nothing else influences the load.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from loadtests.schedule import CONSTANT, GAPS, POISSON, Arrival, Phase, build_arrivals
from loadtests.zipf import DEFAULT_EXPONENT, DEFAULT_VIDEOS, Zipf

SCHEMA = "squall.plan/1"
SHAPES = ("constant", "poisson", "step", "spike")
DEFAULT_RATE_RPS = 20.0  # a tenth of what two cores carry: safe to press start on
DEFAULT_SECONDS = 60.0
DEFAULT_SEED = 17
DEFAULT_GIVE_UP_S = 5.0  # a person reloads the page about then (Nielsen's 10 s is the very limit)
DEFAULT_MAX_IN_FLIGHT = 1024  # Envoy's default of connections and requests per cluster
DEFAULT_BUDGET_S = 1.0  # the gateway's default route budget: a later answer is not "in time"
STEPS = 4  # a quarter, half, three quarters, all of the rate
SPIKE_FACTOR = 5.0  # the middle fifth of the run has five times the rate
WARMUP = "warmup"

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_TENANT = re.compile(r"[A-Za-z0-9_.-]{0,64}")
_CRITICALITIES = ("", "critical_plus", "critical", "sheddable_plus", "sheddable")


class PlanError(ValueError):
    """A plan can't be carried out; the message says which value, and what it may be."""


@dataclass(frozen=True, slots=True)
class LoadClass:
    """Requests of one kind: a route, by whom, and how much they matter.

    Args:
        route: Which kind of request.
        criticality: Sent as baggage; "" takes the plan's.
        tenant: Sent as baggage; "" takes the plan's.
        video: Always this one, >= 1; None draws one for each arrival.
    """

    route: str
    criticality: str = ""
    tenant: str = ""
    video: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send.

    Args:
        phases: Rates by route over time.
        gaps: ``constant`` or ``poisson``.
        seed: Same seed, same arrivals.
        zipf: Exponent of the choice of videos, >= 0.
        videos: How many videos there are.
        budget_s: An answer later than this after its scheduled time isn't in time.
        deadline_ms: Sent with each request; None lets the gateway decide.
        give_up_s: When a client leaves, counted from sending.
        max_in_flight: An arrival beyond this counts as unsent and is never delayed.
        tenant: Sent as baggage; "" sends none.
        criticality: Sent as baggage; "" sends none.
        classes: Names that ``rates`` may have beside routes, each with what it stands for.
        run_id: Prefix of the request ids.
        tell_gone_at: Send with each request when its client will have left, so that the lab can
            count work that is done for nobody even where nothing is cancelled.
        keep_alive: Whether connections are used again; else each request comes on a new one.
        parent_pid: End when this process is no longer the parent; None to live alone.
    """

    phases: tuple[Phase, ...]
    gaps: str = POISSON
    seed: int = DEFAULT_SEED
    zipf: float = DEFAULT_EXPONENT
    videos: int = DEFAULT_VIDEOS
    budget_s: float = DEFAULT_BUDGET_S
    deadline_ms: int | None = None
    give_up_s: float = DEFAULT_GIVE_UP_S
    max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    tenant: str = ""
    criticality: str = ""
    classes: Mapping[str, LoadClass] = field(default_factory=dict)
    run_id: str = "load"
    tell_gone_at: bool = False
    keep_alive: bool = True
    parent_pid: int | None = field(default=None)

    def __post_init__(self) -> None:
        _check(bool(self.phases), "phases", "empty", "at least one phase")
        for phase in self.phases:
            _check(phase.seconds > 0, f"seconds of {phase.name}", phase.seconds, "more than 0")
            for route, rate in phase.rates.items():
                _check(0 <= rate <= 100_000, f"rate of {route}", rate, "0 to 100000 a second")
        _check(self.gaps in GAPS, "gaps", self.gaps, " or ".join(GAPS))
        _check(self.zipf >= 0, "zipf", self.zipf, "0 or more")
        _check(self.videos >= 1, "videos", self.videos, "1 or more")
        _check(self.budget_s > 0, "budget_s", self.budget_s, "more than 0")
        _check(self.give_up_s > 0, "give_up_s", self.give_up_s, "more than 0")
        _check(self.max_in_flight >= 1, "max_in_flight", self.max_in_flight, "1 or more")
        _check(
            self.deadline_ms is None or 1 <= self.deadline_ms <= 600_000,
            "deadline_ms",
            self.deadline_ms,
            "1 to 600000",
        )
        _check_baggage("", self.criticality, self.tenant)
        for name, each in self.classes.items():
            _check_baggage(f" of {name}", each.criticality, each.tenant)
            _check(each.video is None or each.video >= 1, f"video of {name}", each.video, ">= 1")

    def arrivals(self) -> list[Arrival]:
        """Compute the schedule."""
        return build_arrivals(
            self.phases, gaps=self.gaps, seed=self.seed, zipf=Zipf(self.videos, self.zipf)
        )

    def class_of(self, name: str) -> LoadClass:
        """Return what a name in ``rates`` stands for; a route is a class of its own."""
        return self.classes.get(name) or LoadClass(name)

    def routes(self) -> set[str]:
        """Return the routes that this plan sends to."""
        return {
            self.class_of(name).route
            for phase in self.phases
            for name, rate in phase.rates.items()
            if rate > 0
        }

    def to_json(self) -> str:
        """Write the plan as ``from_json`` reads it."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1)


def from_json(text: str) -> Plan:
    """Read a plan.

    Raises:
        PlanError: Not JSON, an unknown or missing field, or a value out of range.
    """
    try:
        data: dict[str, Any] = json.loads(text)
        data.pop("schema", None)
        data["phases"] = tuple(Phase(**phase) for phase in data.get("phases", ()))
        classes = data.get("classes", {})
        data["classes"] = {name: LoadClass(**each) for name, each in classes.items()}
        return Plan(**data)
    except PlanError:
        raise
    except (TypeError, AttributeError, json.JSONDecodeError) as error:
        raise PlanError(f"this is no load plan: {error}") from error


def read_plan(path: Path) -> Plan:
    """Read a plan from a file; raises PlanError naming the file."""
    try:
        return from_json(path.read_text())
    except OSError as error:
        raise PlanError(f"can't read the plan {path}: {error.strerror}") from error


def shape_phases(
    shape: str, rate: float, seconds: float, mix: Mapping[str, float], warmup_s: float = 0.0
) -> tuple[Phase, ...]:
    """Turn a named shape into phases.

    Args:
        shape: One of SHAPES.
        rate: Arrivals per second, all routes together.
        seconds: How long, without the warm-up.
        mix: Weights by route.
        warmup_s: A phase in front that reports leave out.

    Raises:
        PlanError: The shape is unknown.
    """
    _check(shape in SHAPES, "shape", shape, ", ".join(SHAPES))
    _check(seconds > 0, "for", seconds, "more than 0 s")
    total = sum(mix.values())
    _check(total > 0, "mix", dict(mix), "weights of which one is more than 0")

    def phase(name: str, length_s: float, level: float) -> Phase:
        return Phase(name, length_s, {r: rate * level * w / total for r, w in mix.items()})

    phases = [phase(WARMUP, warmup_s, 1.0)] if warmup_s > 0 else []
    if shape == "step":
        quarter_s = seconds / STEPS
        phases += [phase(f"step{n}", quarter_s, n / STEPS) for n in range(1, STEPS + 1)]
    elif shape == "spike":
        fifth_s = seconds / 5
        phases += [
            phase("before", 2 * fifth_s, 1.0),
            phase("spike", fifth_s, SPIKE_FACTOR),
            phase("after", 2 * fifth_s, 1.0),
        ]
    else:
        phases.append(phase("run", seconds, 1.0))
    return tuple(phases)


def gaps_of(shape: str) -> str:
    """Say how arrivals are spaced in a named shape."""
    return CONSTANT if shape == CONSTANT else POISSON


def parse_seconds(text: str) -> float:
    """Read a duration such as ``60s``, ``5m`` or ``500ms``; a bare number is seconds.

    Raises:
        PlanError: It isn't one.
    """
    match = _DURATION.fullmatch(str(text).strip())
    if match is None:
        raise PlanError(f"{text!r} is no duration; write 60s, 5m or 500ms")
    return float(match[1]) * _UNITS_S[match[2]]


def parse_mix(text: str, known: Mapping[str, object]) -> dict[str, float]:
    """Read weights such as ``home=30,page=40``; a route alone weighs 1.

    Raises:
        PlanError: A route is unknown, or a weight is no number.
    """
    mix: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        route, _, weight = part.partition("=")
        _check(route in known, "mix", route, ", ".join(known))
        try:
            mix[route] = float(weight or 1)
        except ValueError as error:
            raise PlanError(
                f"mix: the weight of {route} is {weight!r}; it must be a number"
            ) from error
    return mix


def _check_baggage(whose: str, criticality: str, tenant: str) -> None:
    allowed = ", ".join(_CRITICALITIES[1:])
    _check(criticality in _CRITICALITIES, f"criticality{whose}", criticality, allowed)
    fits = _TENANT.fullmatch(tenant) is not None
    _check(fits, f"tenant{whose}", tenant, "at most 64 of A-Z, a-z, 0-9, _, . and -")


def _check(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise PlanError(f"{name} is {value}; it must be {allowed}")
