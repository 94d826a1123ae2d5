"""Health by checks: leave after missed checks, come back after good ones.

Why three and two: one lost check is noise, and an endpoint that answers one check of two must not
swing in and out. A refused or reset connection is no noise: it marks at once.
Source: HAProxy's ``fall 3 rise 2``; its ``on-error mark-down`` for the connections.
Not handled: sending checks (an adapter's work), slow start, failures of requests (``outlier``).

An endpoint is up or down; ``_streak`` counts answers in a row that speak against its state:

    up   --misses_to_leave misses in a row, or one broken connection--> down
    down --passes_to_return good checks in a row, or recheck_s passed--> up
"""

from collections.abc import Collection, Iterable

from resilience.policy.contract import Snapshot

DEFAULT_MISSES_TO_LEAVE = 3  # HAProxy: fall 3
DEFAULT_PASSES_TO_RETURN = 2  # HAProxy: rise 2


class _State:
    __slots__ = ("down_since_s", "is_up", "streak")

    def __init__(self) -> None:
        self.is_up = True  # the registry says ready; a check may disagree within a second
        self.streak = 0
        self.down_since_s = 0.0


class CheckedHealth:
    """Believe checks and broken connections about who is up. Each call is O(1).

    Args:
        misses_to_leave: Missed checks in a row until an endpoint is left, >= 1.
        passes_to_return: Good checks in a row until it is back, >= 1.
        recheck_s: For users who send no checks: an endpoint that is down counts as up again after
            this time, so that traffic itself is the check. None: only checks bring it back.
    """

    def __init__(
        self,
        *,
        misses_to_leave: int = DEFAULT_MISSES_TO_LEAVE,
        passes_to_return: int = DEFAULT_PASSES_TO_RETURN,
        recheck_s: float | None = None,
    ) -> None:
        if misses_to_leave < 1 or passes_to_return < 1:
            raise ValueError(f"counts must be 1 or more: {misses_to_leave}, {passes_to_return}")
        self._misses_to_leave = misses_to_leave
        self._passes_to_return = passes_to_return
        self._recheck_s = recheck_s
        self._states: dict[str, _State] = {}

    def set_endpoints(self, names: Iterable[str]) -> None:
        """Know these; new ones begin up, those that stay keep their state."""
        self._states = {name: self._states.get(name) or _State() for name in names}

    def on_check(self, endpoint: str, ok: bool, now_s: float) -> bool:
        """Take one check's answer; True when the endpoint changed sides."""
        state = self._states.get(endpoint)
        if state is None:
            return False
        if ok == state.is_up:
            state.streak = 0
            return False
        state.streak += 1
        if state.streak < (self._passes_to_return if ok else self._misses_to_leave):
            return False
        self._move(state, ok, now_s)
        return True

    def on_unreachable(self, endpoint: str, now_s: float) -> bool:
        """Take a refused or reset connection; True when that marked the endpoint down."""
        state = self._states.get(endpoint)
        if state is None:
            return False
        was_up = state.is_up
        self._move(state, False, now_s)
        return was_up

    def is_up(self, endpoint: str, now_s: float) -> bool:
        """Whether new requests should go there; an unknown endpoint is not up."""
        state = self._states.get(endpoint)
        if state is None:
            return False
        if not state.is_up and self._recheck_s is not None:
            return now_s - state.down_since_s >= self._recheck_s
        return state.is_up

    def missed(self, endpoint: str) -> int:
        """Return the checks missed in a row by an endpoint that is up; 0 for one that is down."""
        state = self._states.get(endpoint)
        return state.streak if state is not None and state.is_up else 0

    def up(self, names: Collection[str], now_s: float) -> list[str]:
        """Those of ``names`` that are up, in their order."""
        return [name for name in names if self.is_up(name, now_s)]

    def snapshot(self) -> Snapshot:
        """By endpoint whether it is up."""
        return {name: state.is_up for name, state in self._states.items()}

    @staticmethod
    def _move(state: _State, up: bool, now_s: float) -> None:
        state.is_up = up
        state.streak = 0
        state.down_since_s = now_s
