"""Admission at a process's door, as the lab has it: switches, choices and numbers from control.

One for the gateway's HTTP and for the services' gRPC, so that `limiter`, `criticality` and
`partitions` mean the same on every server.
"""

import random
from collections.abc import Callable
from typing import Any, Protocol

from kit.choices import default_choice
from resilience.policy.contract import Mode
from resilience.server_admission import (
    DEFAULT_FIXED_LIMIT,
    AdmissionSettings,
    ServerAdmission,
    Visible,
    build_admission,
)

LIMIT_SETTING = "limit"  # how many may be in flight where the limiter is `fixed`


class Ground(Protocol):
    """What admission needs of the node it runs on."""

    rng: random.Random

    def mode(self, policy: str) -> Mode:
        """Return how a policy stands."""

    def choice(self, name: str, default: str) -> str:
        """Return what was chosen, or the default."""

    def setting(self, name: str, default: float) -> float:
        """Return a number of the newest state, or the default."""

    def pressure(self) -> float:
        """Return how full the process is, 1 being all of it."""

    def on_change(self, callback: Callable[[Any], None]) -> None:
        """Call this with each new state."""

    def register_gate(self, name: str, gate: Visible) -> None:
        """Show a policy, and reset it when told to."""


def admit_by(ground: Ground) -> ServerAdmission:
    """Build what guards a process's server, show its policies, and follow its number."""
    by_default = default_choice("limiter")
    admission = build_admission(
        AdmissionSettings(),
        ground,
        pressure=ground.pressure,
        choice=lambda: ground.choice("limiter", by_default),
        rng=random.Random(ground.rng.random()),
    )

    def follow(_: Any = None) -> None:
        admission.set_fixed_limit(int(ground.setting(LIMIT_SETTING, DEFAULT_FIXED_LIMIT)))

    follow()
    ground.on_change(follow)
    for name, policy in admission.policies.items():
        ground.register_gate(name, policy)
    return admission
