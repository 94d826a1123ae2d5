"""Fakes that several tests share: a picker that counts, a gate that counts, a handy Context."""

import time
from collections import Counter
from collections.abc import Sequence

from resilience.context import Context
from resilience.policy.contract import Outcome, Permit, Rejection, Request, Snapshot


class FakePicker:
    """Give endpoints in order, skipping the excluded; remember what started and how it ended."""

    name = "fake"

    def __init__(self, *endpoints: str) -> None:
        self.endpoints = endpoints
        self.active: Counter[str] = Counter()
        self.finished: list[tuple[str, Outcome]] = []

    def pick(self, request: Request, exclude: Sequence[str], now_s: float) -> str | None:
        return next((each for each in self.endpoints if each not in exclude), None)

    def on_start(self, endpoint: str, now_s: float) -> None:
        self.active[endpoint] += 1

    def on_finish(self, endpoint: str, outcome: Outcome, now_s: float) -> None:
        self.active[endpoint] -= 1
        self.finished.append((endpoint, outcome))

    def snapshot(self) -> Snapshot:
        return {"active": sum(self.active.values())}


class FakeGate:
    """Admit or refuse as told; remember what was settled and how."""

    def __init__(self, name: str = "limiter", *, refuse: bool = False) -> None:
        self.name = name
        self.refuse = refuse
        self.in_flight = 0
        self.outcomes: list[Outcome] = []
        self.resets = 0

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        if self.refuse:
            return Rejection(self.name, "LIMIT_EXCEEDED", 1.0, 6, 5)
        self.in_flight += 1
        return Permit(0, now_s)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        permit.mark_settled()
        self.in_flight -= 1
        self.outcomes.append(outcome)

    def reset(self, now_s: float) -> None:
        self.resets += 1

    def snapshot(self) -> Snapshot:
        return {"in_flight": self.in_flight}


def make_context(*, remaining_s: float | None = None) -> Context:
    """Make a Context that arrived now."""
    now_s = time.monotonic()
    deadline_s = None if remaining_s is None else now_s + remaining_s
    return Context("r1", "a" * 32, "b" * 16, now_s, deadline_s)
