"""So much a second and no more, evenly; and how much that is for a move."""

import asyncio
import time
from typing import NamedTuple

# codis:config/dashboard.toml moves 500 keys a step: ten steps a second
DEFAULT_RATE_KEYS_S = 5000.0
# At which p99 of clients stays near twice what it was: docs/shard/moving.md, "Figures".
DEFAULT_RATE_SLOTS_S = 64.0


class Rates(NamedTuple):
    """How fast a move may be.

    Args:
        keys_s: Keys copied per second at most, > 0.
        slots_s: Slots moved per second at most, > 0.
    """

    keys_s: float = DEFAULT_RATE_KEYS_S
    slots_s: float = DEFAULT_RATE_SLOTS_S


class Pace:
    """Lets pieces of work begin no faster than a rate.

    Args:
        per_s: Units per second, > 0.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._free_s = 0.0

    async def wait(self, units: int) -> None:
        """Wait until what was let in before has had its time; these take theirs from then on."""
        begins_s = max(self._free_s, time.monotonic())
        self._free_s = begins_s + units / self._per_s
        await asyncio.sleep(begins_s - time.monotonic())
