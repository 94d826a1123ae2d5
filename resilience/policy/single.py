"""Single endpoint: the Picker of a call that has only one place to go.

Why: a pipeline picks before each attempt, and a library, a database or a name behind someone else's
balancer leaves nothing to choose. A retry goes to the same place again: a pipeline rather sends
there than nowhere.
Not handled: choosing; hand in a balancing Picker where there are several.
"""

from collections.abc import Sequence

from resilience.policy.contract import Outcome, Request, Snapshot

_FAILED = Outcome.FAILED  # see Outcome


class SingleEndpoint:
    """A Picker with one endpoint. Every call is O(1).

    Args:
        endpoint: What ``send`` is called with, e.g. ``prices:80``; not empty.

    Invariant: in_flight counts uses begun and not finished.
    """

    name = "single"

    __slots__ = ("_failed", "endpoint", "in_flight")

    def __init__(self, endpoint: str) -> None:
        if not endpoint:
            raise ValueError("endpoint='' names nothing: give the one place to call")
        self.endpoint = endpoint
        self.in_flight = 0
        self._failed = 0

    def pick(self, request: Request, exclude: Sequence[str], now_s: float) -> str | None:
        """Name the endpoint; None when it is excluded, since there is no other."""
        return None if self.endpoint in exclude else self.endpoint

    def on_start(self, endpoint: str, now_s: float) -> None:
        """Count a use in."""
        self.in_flight += 1

    def on_finish(self, endpoint: str, outcome: Outcome, now_s: float) -> None:
        """Count it out, and whether it failed."""
        self.in_flight -= 1
        self._failed += outcome is _FAILED

    def snapshot(self) -> Snapshot:
        """Return how many are under way and how many failed."""
        return {"in_flight": self.in_flight, "failed": self._failed}

    def __repr__(self) -> str:
        return f"<SingleEndpoint {self.endpoint}, in flight {self.in_flight}>"
