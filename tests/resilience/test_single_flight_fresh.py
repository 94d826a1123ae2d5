"""Single-flight: fresh callers get nothing that was begun before their call."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.single_flight import SingleFlight
from tests.resilience.flights import LIMIT_S, Origin, call, turns, within_limit


async def test_fresh_caller_does_not_get_what_was_begun_before_it() -> None:
    """It waits for the work under way and shares the one after it with all who came meanwhile."""
    flights, origin = SingleFlight(), Origin()
    first = call(flights, origin, fresh=True)
    await turns()
    later = [call(flights, origin, fresh=True) for _ in range(5)]
    await turns()
    assert origin.begun == 1
    origin.finish()
    assert await within_limit(first) == 1
    await turns(lambda: origin.begun == 2)
    origin.finish()
    assert await within_limit(asyncio.gather(*later)) == [2] * 5
    assert (origin.begun, origin.most_under_way) == (2, 1)


async def test_fresh_callers_of_one_turn_share() -> None:
    """Work that has been asked for and has not begun is fresh enough."""
    flights, origin = SingleFlight(), Origin()
    calls = [call(flights, origin, fresh=True) for _ in range(3)]
    await turns()
    origin.finish()
    assert await within_limit(asyncio.gather(*calls)) == [1] * 3


async def test_what_follows_begins_when_the_work_before_it_fails_or_is_abandoned() -> None:
    """Neither an error nor a caller who left keeps the next piece of work from beginning."""
    flights, origin = SingleFlight(), Origin()
    failing = call(flights, origin, fresh=True)
    await turns()
    leaving = call(flights, origin, fresh=True)
    await turns()
    origin.fail(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await within_limit(failing)
    await turns(lambda: origin.begun == 2)
    last = call(flights, origin, fresh=True)
    await turns()
    leaving.cancel()
    await turns(lambda: origin.begun == 3)
    origin.finish()
    assert await within_limit(last) == 3
    assert (origin.cancelled, origin.most_under_way) == (1, 1)


async def test_a_plain_caller_joins_what_is_under_way() -> None:
    """Without ``fresh`` the answer under way is good enough, also when another is to follow."""
    flights, origin = SingleFlight(), Origin()
    first = call(flights, origin)
    await turns()
    fresh = call(flights, origin, fresh=True)
    await turns()
    plain = call(flights, origin)
    await turns()
    origin.finish()
    assert await within_limit(asyncio.gather(first, plain)) == [1, 1]
    await turns(lambda: origin.begun == 2)
    origin.finish()
    assert await within_limit(fresh) == 2


@pytest.mark.property
@given(
    steps=st.lists(
        st.sampled_from(["call", "fresh", "finish", "fail", "leave", "turn"]), max_size=40
    )
)
async def test_any_order_of_events_keeps_the_promises(steps: list[str]) -> None:
    """One piece of work at a time, fresh callers get nothing older than their call, none hangs."""
    flights, origin = SingleFlight(), Origin()
    calls: list[tuple[asyncio.Task[int], int]] = []  # and the oldest answer it may get
    for step in steps:
        if step in ("call", "fresh"):
            # "fresh" may get what had not begun when it called.
            oldest = origin.begun + 1 if step == "fresh" else 0
            calls.append((call(flights, origin, fresh=step == "fresh"), oldest))
            await asyncio.sleep(0)
        elif step == "finish":
            origin.finish()
        elif step == "fail":
            origin.fail(ValueError("failed on purpose"))
        elif step == "leave" and calls:
            calls[len(calls) // 2][0].cancel()
        await turns()
        assert origin.under_way <= 1
    end_s = time.monotonic() + LIMIT_S
    while not all(each.done() for each, _ in calls):
        assert time.monotonic() < end_s
        origin.finish()
        await asyncio.sleep(0)
    for each, oldest in calls:
        if not each.cancelled() and each.exception() is None:
            assert each.result() >= oldest
    await turns()
    assert flights.snapshot()["under_way"] == 0
