"""A load generator's clock without a load generator."""

import asyncio
import time


class Clock:
    """One that began a second ago."""

    def __init__(self) -> None:
        self._began_s = time.monotonic() - 1.0

    @property
    def at_s(self) -> float:
        """Seconds since the run's start."""
        return time.monotonic() - self._began_s

    async def sleep_until(self, at_s: float) -> None:
        """Return at a moment."""
        await asyncio.sleep(max(0.0, at_s - self.at_s))
