"""A pipeline with a fallback and everything around it in reach; tests of that stage share it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from resilience.fallback_sources import Answer
from resilience.pipeline import ClientPipeline
from resilience.pipeline_fallback import FallbackSettings
from resilience.pipeline_settings import PipelineSettings, build_pipeline
from resilience.switches import FixedSwitches
from tests.resilience.fakes import FakeGate, FakePicker
from tests.resilience.pipeline_world import QUICK, FakeObserver

STANDS_IN = FallbackSettings(value="instead")
LONG_S = 60.0  # nothing here takes so long unless it hangs


class World:
    """A pipeline with a fallback, and everything around it in reach."""

    def __init__(
        self,
        fallback: FallbackSettings = STANDS_IN,
        modes: Any = None,
        clock: Callable[[], float] = time.monotonic,
        **settings: Any,
    ) -> None:
        self.switches = FixedSwitches(modes or {})
        self.gate = FakeGate("breaker")
        self.observer = FakeObserver()
        self.sent: list[str] = []
        self.under_way = asyncio.Event()  # set once an attempt was sent
        self.pipeline: ClientPipeline = build_pipeline(
            "prices",
            PipelineSettings(
                **{"retry": QUICK, "timeout_s": None, "fallback": fallback, **settings},
                breaker=lambda rng: self.gate,
            ),
            FakePicker("a", "b", "c"),
            self.switches,
            scope="shop>prices",
            clock=clock,
            observer=self.observer,
        )

    def send(self, *endings: object) -> Callable[[str, float | None], Awaitable[Any]]:
        """Make a ``send`` whose attempts end so, in turn; the last one repeats."""
        remaining = list(endings)

        async def send(endpoint: str, timeout_s: float | None) -> object:
            self.sent.append(endpoint)
            self.under_way.set()
            ending = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            await asyncio.sleep(LONG_S if ending == "hang" else 0)
            if isinstance(ending, BaseException):
                raise ending
            return ending

        return send

    async def call(self, *endings: object, **how: Any) -> Any:
        """Call an idempotent method."""
        return await self.pipeline.call(self.send(*endings), idempotent=True, **how)

    async def answer(self, *endings: object, **how: Any) -> Answer[Any]:
        """Do so, and hear where the answer is from."""
        return await self.pipeline.answer(self.send(*endings), idempotent=True, **how)

    def figures(self) -> dict[str, object]:
        """Return what the fallback counted."""
        return dict(self.pipeline.snapshot()["fallback"])
