"""The gateway's live settings: concurrency cap, bulkhead, attempts, and each route's budget.

All are control state, so a drill can set them for one arm. They are read from the state once per
version, not per request.

Names: ``cap`` (slots); ``bulkhead`` (calls at once to one dependency); ``attempts`` (of one call,
the first included) and ``per_try_ms`` (how long each may take; 0: as long as the deadline lets it);
``budget_ms`` for every route, and ``budget_ms.<group>`` for one, where the group is ``home``,
``videos`` (the list), ``video`` (the page), ``comments``, ``likes`` or ``sessions``.
"""

from collections.abc import Callable
from typing import Any

from resilience.asgi.types import Scope
from resilience.policy.deadline import ROUTE_BUDGET_S
from resilience.policy.retry import MAX_ATTEMPTS

DEFAULT_CAP = 256.0  # design.md: the gateway's concurrency cap, as every real server has one
DEFAULT_BULKHEAD = 32.0  # an eighth of the 256 slots: no dependency holds them all
DEFAULT_ATTEMPTS = float(MAX_ATTEMPTS)
DEFAULT_PER_TRY_MS = 0.0  # none: a try may use the whole deadline
DEFAULT_BUDGET_MS = ROUTE_BUDGET_S * 1000
GROUPS = ("home", "videos", "video", "comments", "likes", "sessions")
OTHER = "other"

SettingOf = Callable[[str, float], float]


class LiveSettings:
    """The settings as of the newest state.

    Args:
        setting_of: Reads one number of the newest state, e.g. ``node.setting``.

    Give ``refresh`` to ``node.on_change``.
    """

    def __init__(self, setting_of: SettingOf) -> None:
        self._setting_of = setting_of
        self._cap = DEFAULT_CAP
        self._bulkhead = DEFAULT_BULKHEAD
        self._attempts = DEFAULT_ATTEMPTS
        self._per_try_ms = DEFAULT_PER_TRY_MS
        self._budgets_s: dict[str, float] = {}
        self.refresh()

    def refresh(self, _: Any = None) -> None:
        """Read everything again."""
        self._cap = self._setting_of("cap", DEFAULT_CAP)
        self._bulkhead = self._setting_of("bulkhead", DEFAULT_BULKHEAD)
        self._attempts = self._setting_of("attempts", DEFAULT_ATTEMPTS)
        self._per_try_ms = self._setting_of("per_try_ms", DEFAULT_PER_TRY_MS)
        every_ms = self._setting_of("budget_ms", DEFAULT_BUDGET_MS)
        self._budgets_s = {
            group: self._setting_of(f"budget_ms.{group}", every_ms) / 1000 for group in GROUPS
        }
        self._budgets_s[OTHER] = every_ms / 1000

    def cap(self) -> float:
        """Return how many requests may be served at once."""
        return self._cap

    def bulkhead(self) -> int:
        """Return how many calls may be at one dependency at once, >= 1."""
        return max(1, int(self._bulkhead))

    def attempts(self) -> int:
        """Return how often one call may be tried, the first try included, >= 1."""
        return max(1, int(self._attempts))

    def per_try_s(self) -> float | None:
        """Return how long one try may take in seconds; None leaves it to the deadline."""
        return self._per_try_ms / 1000 if self._per_try_ms > 0 else None

    def budget_s(self, scope: Scope) -> float:
        """Return how long a request may take, by its path."""
        return self._budgets_s[group_of(scope["path"])]


def group_of(path: str) -> str:
    """Name the group of routes that a path belongs to."""
    if not path.startswith("/v1/"):
        return OTHER
    first, *rest = path[4:].split("/")
    if first == "videos" and rest:
        last = rest[-1] if len(rest) > 1 else "video"
        return last if last in GROUPS else OTHER
    return first if first in ("home", "videos", "sessions") and not rest else OTHER
