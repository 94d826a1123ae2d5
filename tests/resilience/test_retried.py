"""Retried: plain async functions through a client pipeline."""

import asyncio
import random
from itertools import count

import pytest

from resilience.errors import Code, ServiceError, UpstreamTimeout
from resilience.pipeline import ClientPipeline
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.retry import RetrySettings
from resilience.policy.single import SingleEndpoint
from resilience.retried import retried
from resilience.switches import FixedSwitches
from tests.resilience.cancelling import CancelAt
from tests.resilience.fakes import FakeGate

SOON = RetrySettings(base_s=0.001)


def pipeline_of(
    picker: SingleEndpoint | None = None,
    *,
    breaker: FakeGate | None = None,
    bulkhead: Bulkhead | None = None,
    per_try_timeout_s: float | None = None,
) -> ClientPipeline:
    """Make a pipeline that retries soon."""
    return ClientPipeline(
        "prices",
        picker or SingleEndpoint("prices"),
        FixedSwitches(),
        breaker=breaker,
        bulkhead=bulkhead,
        retry=SOON,
        per_try_timeout_s=per_try_timeout_s,
        rng=random.Random(1),
    )


async def test_a_failure_is_tried_again() -> None:
    """Twice it fails, the third answer counts; arguments go along each time."""
    asked: list[tuple[str, int]] = []

    @retried(pipeline_of(), idempotent=True)
    async def price(item: str, *, amount: int) -> float:
        """Return the price."""
        asked.append((item, amount))
        if len(asked) < 3:
            raise ConnectionResetError
        return 3.5

    assert await price("tea", amount=2) == 3.5
    assert asked == [("tea", 2)] * 3
    assert (price.__name__, price.__doc__) == ("price", "Return the price.")


async def test_what_is_not_idempotent_is_tried_once() -> None:
    """Unless the error says that nothing had started."""
    calls = 0

    @retried(pipeline_of(), idempotent=False)
    async def buy(*, has_started: bool) -> None:
        nonlocal calls
        calls += 1
        raise ServiceError(Code.UNAVAILABLE, "AWAY", "away", started=has_started)

    with pytest.raises(ServiceError):
        await buy(has_started=True)
    assert calls == 1
    with pytest.raises(ServiceError):
        await buy(has_started=False)
    assert calls == 4


async def test_each_try_is_cut_at_its_time() -> None:
    """A function that hangs is cancelled, three times, and the caller hears of a timeout."""
    cancelled = 0

    @retried(pipeline_of(per_try_timeout_s=0.01), idempotent=True)
    async def hang() -> None:
        nonlocal cancelled
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled += 1
            raise

    with pytest.raises(UpstreamTimeout):
        await hang()
    assert cancelled == 3


async def test_a_cancellation_at_any_await_leaks_nothing() -> None:
    """Injected at the n-th await for every n: breaker, endpoint, bulkhead and budget are clean."""
    for step in count():
        picker, breaker, bulkhead = SingleEndpoint("prices"), FakeGate("breaker"), Bulkhead(1, 1)
        pipeline = pipeline_of(picker, breaker=breaker, bulkhead=bulkhead, per_try_timeout_s=60.0)
        tries = 0

        @retried(pipeline, idempotent=True)
        async def price() -> float:
            nonlocal tries
            tries += 1
            await asyncio.sleep(0)
            if tries < 3:
                raise ConnectionResetError
            return 3.5

        cancelling = CancelAt(price(), step)
        try:
            assert await cancelling == 3.5
        except asyncio.CancelledError:
            assert cancelling.was_thrown
        budget = pipeline.snapshot()["retry"]
        assert (picker.in_flight, breaker.in_flight, bulkhead.in_flight) == (0, 0, 0)
        assert (budget["calls"], budget["retries"]) == (0, 0)
        if not cancelling.was_thrown:
            assert step >= 3  # and the waits between the tries that were not over at once
            return


def test_a_plain_function_is_refused() -> None:
    """Nothing could cut it at its time."""

    def plain() -> None:
        """Do nothing."""

    with pytest.raises(TypeError, match=r"plain is not async: call it in asyncio\.to_thread"):
        retried(pipeline_of(), idempotent=True)(plain)  # type: ignore[arg-type]
