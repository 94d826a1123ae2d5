"""Changes: what moved in a process since it was last looked at, told to an observer.

Why: a refusal is told by who refuses, a change by nobody: a switch is simply another one in the
next state, a breaker is open when it is next asked. So this compares: each new state with the one
before, and the policies' figures once a second with those of a second ago. Nothing of it is on a
request's way.
Not handled: what moves and moves back between two looks at the policies.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from faults.rule import FaultRule
from kit.choices import CHOICES, default_choice
from kit.state import DEFAULT_MODES
from resilience.observer import Observer
from resilience.policy.contract import Snapshot

LOOK_EVERY_S = 1.0  # as the lease is renewed: what `squall status` shows is as old
STATES = ("state",)  # told whenever they are another
LIMITS = ("limit",)  # told when they have moved by a fifth: a limiter that learns never rests
MOVED_SHARE = 0.2


class Watched(Protocol):
    """What is compared, of the node."""

    instance: str

    def mode(self, policy: str) -> object:
        """Return how a policy stands; its ``value`` is the word for it."""

    def choice(self, name: str, default: str) -> str:
        """Return what was chosen."""

    def policies(self) -> Mapping[str, Snapshot]:
        """Return the policies' figures."""


class Changes:
    """Tell what moved; ``on_state`` with each new state, ``on_beat`` a few times a second.

    Args:
        node: What is compared.
        observer: Hears of each change.
    """

    def __init__(self, node: Watched, observer: Observer) -> None:
        self._node = node
        self._observer = observer
        self._positions: dict[tuple[str, str], str] = {}
        self._rules: dict[str, FaultRule] = {}
        self._figures: dict[tuple[str, str], object] = {}
        self._looked_s = 0.0

    def on_state(self, rules: Sequence[FaultRule]) -> None:
        """Compare switches, choices and faults with those of the state before.

        Args:
            rules: The faults of this process now.
        """
        positions = {("switch", name): _word(self._node.mode(name)) for name in DEFAULT_MODES}
        for name in CHOICES:
            positions["choice", name] = self._node.choice(name, default_choice(name))
        for (kind, name), position in positions.items():
            before = self._positions.get((kind, name), position)
            if before != position:
                self._tell(kind, "moved", name, {"from": before, "to": position})
        self._positions = positions
        self._compare_faults({rule.id: rule for rule in rules})

    def on_ready(self, is_ready: bool) -> None:
        """Tell that the process wants requests, or no longer."""
        self._tell("readiness", "ready" if is_ready else "not-ready", self._node.instance, {})

    def on_beat(self, now_s: float) -> None:
        """Compare the policies' states and limits once a second."""
        if now_s - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now_s
        for policy, figures in self._node.policies().items():
            for name in (*STATES, *LIMITS):
                if name in figures:
                    self._compare(policy, name, figures[name])

    def _compare(self, policy: str, name: str, now: object) -> None:
        before = self._figures.setdefault((policy, name), now)
        if before == now or (name in LIMITS and not _has_moved(before, now)):
            return
        self._figures[policy, name] = now
        what = "state-changed" if name in STATES else "limit-moved"
        self._tell(policy, what, self._node.instance, {"from": _plain(before), "to": _plain(now)})

    def _compare_faults(self, rules: dict[str, FaultRule]) -> None:
        for fault_id, rule in rules.items():
            if fault_id not in self._rules:
                self._tell("fault", "began", fault_id, {"kind": rule.kind})
        for fault_id, rule in self._rules.items():
            if fault_id not in rules:
                self._tell("fault", "ended", fault_id, {"kind": rule.kind})
        self._rules = rules

    def _tell(
        self, policy: str, what: str, scope: str, detail: Mapping[str, float | int | str | None]
    ) -> None:
        self._observer.on_decision(policy, what, scope, detail)


def _has_moved(before: object, now: object) -> bool:
    """Whether a limit is another by a fifth of what it was, and by one at least."""
    if not isinstance(before, int | float) or not isinstance(now, int | float):
        return True
    return abs(now - before) >= max(1.0, MOVED_SHARE * abs(before))


def _plain(figure: object) -> float | int | str | None:
    return figure if isinstance(figure, float | int | str) or figure is None else str(figure)


def _word(mode: object) -> str:
    return str(getattr(mode, "value", mode))
