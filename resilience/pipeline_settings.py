"""Client pipeline from one object: all that guards a dependency, read in one place.

    PipelineSettings(timeout_s=0.5, hedge=HedgeSettings())  ▸  build_pipeline  ▸  ClientPipeline

Every part has the default of its own module and can be left out with None. The object is frozen and
holds no state, so one of them may build the pipelines of many dependencies, each with a breaker,
bulkhead and budget of its own.
Not handled: changing a pipeline that runs (switches, ``set_attempts``, ``set_max_concurrent``).
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from math import inf

from resilience.admission import Clock
from resilience.observer import SILENT, Observer
from resilience.pipeline import ClientPipeline
from resilience.pipeline_fallback import FallbackSettings
from resilience.pipeline_plan import ONE_ATTEMPT
from resilience.policy.breaker_settings import BreakerSettings
from resilience.policy.budget import CountingBudget, RetryBudget
from resilience.policy.bulkhead import DEFAULT_LIMIT, DEFAULT_MAX_WAITING, Bulkhead
from resilience.policy.contract import Gate, Picker
from resilience.policy.deadline import ROUTE_BUDGET_S
from resilience.policy.finagle_budget import FinagleBudget
from resilience.policy.hedge import HedgeDelay, HedgeSettings
from resilience.policy.retry import RetrySettings
from resilience.policy.sre_breaker import KRATOS_V1, SreBreaker, SreSettings
from resilience.policy.state_breaker import StateBreaker
from resilience.policy.token_throttle import TokenThrottle
from resilience.switches import FixedSwitches, Switches

MakeGate = Callable[[random.Random], Gate]
"""Makes a breaker that draws from that ``Random``."""


class BudgetKind(Enum):
    """Which retry budget, each with its source's defaults."""

    ENVOY = RetryBudget
    FINAGLE = FinagleBudget
    GRPC = TokenThrottle

    def make(self) -> CountingBudget:
        """Make a budget of this kind."""
        budget: CountingBudget = self.value()
        return budget


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """What guards the calls to one dependency.

    Args:
        timeout_s: Longest a whole call may take, seconds, > 0; None leaves it to the request and
            the Context, whose deadlines hold in any case.
        per_try_timeout_s: Longest one attempt may take, seconds, > 0; None for no such limit.
        retry: How often and how soon; None for one attempt.
        budget: Which retries all calls together may make.
        hedge: When a second attempt joins a slow first one; None for never.
        fallback: What stands in for a call that failed for good; None: its error goes up.
        breaker: Settings of the SRE breaker or of the one with states, or what makes any other
            Gate; None for none.
        max_concurrent: Slots of the bulkhead, >= 1; None for no bulkhead.
        max_waiting: Room to wait for a slot, >= 0.
        max_wait_s: Longest such wait, seconds, > 0; None means until the call's deadline.
    """

    timeout_s: float | None = ROUTE_BUDGET_S
    per_try_timeout_s: float | None = None
    retry: RetrySettings | None = field(default_factory=RetrySettings)
    budget: BudgetKind = BudgetKind.ENVOY
    hedge: HedgeSettings | None = None
    fallback: FallbackSettings | None = None
    breaker: SreSettings | BreakerSettings | MakeGate | None = KRATOS_V1
    max_concurrent: int | None = DEFAULT_LIMIT
    max_waiting: int = DEFAULT_MAX_WAITING
    max_wait_s: float | None = None

    def __post_init__(self) -> None:
        """Check the ranges and what belongs together.

        Raises:
            ValueError: A value is out of its range, or makes no sense beside another.
        """
        for name in ("timeout_s", "per_try_timeout_s", "max_wait_s"):
            value_s = getattr(self, name)
            if value_s is not None and not 0.0 < value_s < inf:
                raise ValueError(f"{name}={value_s} must be None or above 0, finite")
        if self.max_concurrent is not None and self.max_concurrent < 1:
            raise ValueError(f"max_concurrent={self.max_concurrent} must be None or >= 1")
        if self.max_waiting < 0:
            raise ValueError(f"max_waiting={self.max_waiting} must be >= 0")
        if self.max_concurrent is None and self.max_waiting:
            raise ValueError(f"max_waiting={self.max_waiting} needs max_concurrent: a bulkhead")
        if self.hedge is not None and self.attempts < 2:
            raise ValueError(f"a hedge is a second attempt: retry.max_attempts={self.attempts}")

    @property
    def attempts(self) -> int:
        """Attempts in all, hedges included."""
        return 1 if self.retry is None else self.retry.max_attempts


def build_pipeline(
    name: str,
    settings: PipelineSettings,
    picker: Picker,
    switches: Switches | None = None,
    *,
    scope: str | None = None,
    rng: random.Random | None = None,
    clock: Clock = time.monotonic,
    observer: Observer = SILENT,
) -> ClientPipeline:
    """Build the pipeline of one dependency; keep it, since all its calls share its state.

    Args:
        name: The dependency, e.g. ``video``.
        settings: What guards it.
        picker: Chooses the endpoint; ``SingleEndpoint`` where there is one.
        switches: Say which policies are on; None for all of them.
        scope: What decisions are reported under; None takes the name.
        rng: Draws jitter and the breaker's chance; None seeds one from the system.
        clock: Monotonic seconds.
        observer: Hears of every decision.
    """
    rng = rng or random.Random()
    switches = FixedSwitches() if switches is None else switches
    return ClientPipeline(
        name,
        picker,
        switches,
        breaker=_make_breaker(settings.breaker, random.Random(rng.random())),
        bulkhead=_make_bulkhead(settings),
        budget=settings.budget.make(),
        retry=ONE_ATTEMPT if settings.retry is None else settings.retry,
        hedge=None if settings.hedge is None else HedgeDelay(settings.hedge),
        fallback=(
            None
            if settings.fallback is None
            else settings.fallback.make(name, switches, scope=scope, observer=observer, clock=clock)
        ),
        per_try_timeout_s=settings.per_try_timeout_s,
        timeout_s=settings.timeout_s,
        scope=scope,
        rng=rng,
        clock=clock,
        observer=observer,
    )


def _make_breaker(
    kind: SreSettings | BreakerSettings | MakeGate | None, rng: random.Random
) -> Gate | None:
    if kind is None:
        return None
    if isinstance(kind, SreSettings):
        return SreBreaker(rng, kind)
    return StateBreaker(kind, rng) if isinstance(kind, BreakerSettings) else kind(rng)


def _make_bulkhead(settings: PipelineSettings) -> Bulkhead | None:
    if settings.max_concurrent is None:
        return None
    return Bulkhead(settings.max_concurrent, settings.max_waiting, settings.max_wait_s)
