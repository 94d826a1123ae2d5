"""Server admission from one object: who may start here, decided by three policies in one another.

    partitions ( criticality ( limiter ) )

The limiter says how many, importance and tenants say who. Each obeys the switch of its name, and
which limiter learns the limit is a choice that may move while requests are under way:

    admission = build_admission(AdmissionSettings(), switches, pressure=lambda: 1.0)
    app = LimiterMiddleware(app, admission.gate, switches=switches, scope_name="orders.1")

A limiter that is switched off refuses nobody from then on, but what lies around it remembers: who
was lent room above the limit is let out first, for 1 s, and who was shut out for somebody more
important for 1 s a level. After 4 s nothing refuses.

Not handled: waiting for a place (a ``WaitQueue`` around a limiter goes where this gate does); rates
and quotas, which are gates of their own in front of this one.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from resilience.policy.aimd import AimdLimit
from resilience.policy.bbr import BbrLimiter
from resilience.policy.chosen import ChosenLimiter
from resilience.policy.contract import Snapshot
from resilience.policy.criticality_gate import CriticalityGate
from resilience.policy.envoy_gradient import EnvoyGradientLimit
from resilience.policy.fixed import FixedLimit
from resilience.policy.gradient2 import Gradient2Limit
from resilience.policy.layer import LimiterGate, SwitchedLayer, SwitchedLimiter
from resilience.policy.limit import AdaptiveLimiter
from resilience.policy.partitions import TenantPartitions
from resilience.policy.vegas import VegasLimit
from resilience.switches import Switches

DEFAULT_LIMITER = "bbr"  # aegis, whose limiter guards every Kratos service by default
DEFAULT_FIXED_LIMIT = 16  # Kratos and resilience4j name none; two for each of the lab's workers
LIMITERS = ("bbr", "vegas", "gradient2", "aimd", "envoy", "fixed")


class Visible(Protocol):
    """A policy that a page can show and a reset reaches."""

    def reset(self, now_s: float) -> None:
        """Forget what was learned."""

    def snapshot(self) -> Snapshot:
        """Return flat figures."""


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """What guards a server.

    Args:
        limiter: Who learns the limit, one of ``LIMITERS``.
        fixed_limit: How many may be in flight with ``fixed``, >= 1.
        weights: Of tenants that are due more or less than others, > 0 each; 1 for the rest.
    """

    limiter: str = DEFAULT_LIMITER
    fixed_limit: int = DEFAULT_FIXED_LIMIT
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: A value is out of its range, or the limiter is unknown.
        """
        if self.limiter not in LIMITERS:
            raise ValueError(f"limiter={self.limiter!r} must be one of {', '.join(LIMITERS)}")
        if self.fixed_limit < 1:
            raise ValueError(f"fixed_limit={self.fixed_limit} must be >= 1")


class ServerAdmission:
    """The three policies; ``build_admission`` makes it.

    Attributes:
        gate: The outermost, for a limiter adapter (ASGI, gRPC) or for one's own code.
        policies: Each by its name, for pages, metrics and resets.
    """

    def __init__(
        self,
        partitions: SwitchedLayer,
        criticality: SwitchedLayer,
        limiter: SwitchedLimiter,
        fixed: FixedLimit,
    ) -> None:
        self.gate = partitions
        self.policies: Mapping[str, Visible] = {
            "limiter": limiter,
            "criticality": criticality,
            "partitions": partitions,
        }
        self._fixed = fixed

    def set_fixed_limit(self, limit: int) -> None:
        """Change how many may be in flight where the limiter is ``fixed``; below 1 means 1."""
        self._fixed.set(max(1, limit))


def build_admission(
    settings: AdmissionSettings,
    switches: Switches,
    *,
    pressure: Callable[[], float],
    choice: Callable[[], str] | None = None,
    rng: random.Random | None = None,
) -> ServerAdmission:
    """Build what guards one server; keep it, since all its requests share its state.

    Args:
        settings: Who guards it.
        switches: Asked for ``limiter``, ``criticality`` and ``partitions``.
        pressure: How full the process is, 1.0 being all of it; BBR binds from 0.8 on.
        choice: Names the limiter at each admission; None means the settings' for good.
        rng: Draws when probes are due; None seeds one from the system.
    """
    fixed = FixedLimit(settings.fixed_limit)
    makers = _makers(pressure, fixed, rng or random.Random())
    chosen = ChosenLimiter(makers, choice or (lambda: settings.limiter))
    limiter = SwitchedLimiter(chosen, lambda: switches.mode("limiter"))
    criticality = SwitchedLayer(
        CriticalityGate(limiter), limiter, lambda: switches.mode("criticality")
    )
    partitions = SwitchedLayer(
        TenantPartitions(criticality, settings.weights),
        criticality,
        lambda: switches.mode("partitions"),
    )
    return ServerAdmission(partitions, criticality, limiter, fixed)


def _makers(
    pressure: Callable[[], float], fixed: FixedLimit, rng: random.Random
) -> Mapping[str, Callable[[], LimiterGate]]:
    return {
        "bbr": lambda: BbrLimiter(pressure),
        "vegas": lambda: AdaptiveLimiter(VegasLimit(rng)),
        "gradient2": lambda: AdaptiveLimiter(Gradient2Limit()),
        "aimd": lambda: AdaptiveLimiter(AimdLimit()),
        "envoy": lambda: AdaptiveLimiter(EnvoyGradientLimit(rng)),
        "fixed": lambda: AdaptiveLimiter(fixed),
    }
