"""A client pipeline with everything around it in reach; several tests of it share this."""

import asyncio
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from resilience.admission import Clock
from resilience.context import Context, enter, leave
from resilience.errors import Code, UpstreamReset
from resilience.observer import Detail
from resilience.pipeline import ClientPipeline
from resilience.policy.budget import CountingBudget, RetryBudget
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Mode, Request
from resilience.policy.hedge import HedgeDelay, HedgeSettings
from resilience.policy.retry import RetrySettings
from resilience.switches import FixedSwitches
from tests.resilience.fakes import FakeGate, FakePicker

QUICK = RetrySettings(base_s=0.0, cap_s=0.0)


class FakeObserver:
    """Remember who decided what."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.scopes: set[str] = set()

    def on_decision(self, policy: str, what: str, scope: str, detail: Mapping[str, Detail]) -> None:
        self.heard.append((policy, what))
        self.scopes.add(scope)

    def of(self, policy: str) -> list[str]:
        """Say what one policy decided, in order."""
        return [what for name, what in self.heard if name == policy]


class World:
    """A pipeline with everything around it in reach."""

    def __init__(
        self,
        *endpoints: str,
        per_try_timeout_s: float | None = None,
        timeout_s: float | None = None,
        bulkhead: Bulkhead | None = None,
        budget: CountingBudget | None = None,
        attempts: RetrySettings | None = None,
        hedging: HedgeSettings | None = None,
        clock: Clock = time.monotonic,
        **modes: Mode,
    ) -> None:
        self.switches = FixedSwitches(modes)
        self.picker = FakePicker(*(endpoints or ("a", "b")))
        self.breaker = FakeGate("breaker")
        self.bulkhead = bulkhead or Bulkhead(2)
        self.budget = budget or RetryBudget()
        self.hedge = None if hedging is None else HedgeDelay(hedging)
        self.observer = FakeObserver()
        self.pipeline = ClientPipeline(
            "video",
            self.picker,
            self.switches,
            breaker=self.breaker,
            bulkhead=self.bulkhead,
            budget=self.budget,
            retry=attempts or QUICK,
            hedge=self.hedge,
            per_try_timeout_s=per_try_timeout_s,
            timeout_s=timeout_s,
            scope="gateway>video",
            rng=random.Random(1),
            clock=clock,
            observer=self.observer,
        )
        self.sent: list[tuple[str, float | None]] = []

    def answer(self, *endings: object) -> object:
        """Make a ``send`` that ends its attempts like this, in turn; the last one repeats."""
        remaining = list(endings)

        async def send(endpoint: str, timeout_s: float | None) -> object:
            self.sent.append((endpoint, timeout_s))
            ending = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            if ending == "hang":
                await asyncio.sleep(60)
            await asyncio.sleep(0)
            if isinstance(ending, BaseException):
                raise ending
            return ending

        return send

    async def call(self, *endings: object, idempotent: bool = True, **request: float) -> object:
        return await self.pipeline.call(
            self.answer(*endings),  # type: ignore[arg-type]
            Request(**request) if request else None,  # type: ignore[arg-type]
            idempotent=idempotent,
        )

    def assert_balanced(self) -> None:
        """Nothing taken is still out."""
        assert self.breaker.in_flight == 0
        assert (self.bulkhead.in_flight, self.bulkhead.waiting) == (0, 0)
        assert (self.budget.calls, self.budget.retries) == (0, 0)
        assert +self.picker.active == {}


def broken() -> UpstreamReset:
    """Make the error of a connection that broke."""
    return UpstreamReset(Code.BAD_GATEWAY, "UPSTREAM_RESET", "broke")


@contextmanager
def inside(context: Context) -> Iterator[None]:
    """Make a context current for a with block."""
    token = enter(context)
    try:
        yield
    finally:
        leave(token)
