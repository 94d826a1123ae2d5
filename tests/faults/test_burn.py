"""Burnt CPU: as much as was asked for, in slices, in turn."""

import asyncio
import time

import pytest

from faults import burn as module
from faults.burn import Burner
from tests.kit.lab import wait_until


class Cpu:
    """A CPU clock that advances by a fixed step at each look."""

    def __init__(self, step_s: float) -> None:
        self.step_s = step_s
        self.spent_s = 0.0

    def __call__(self) -> float:
        """Look."""
        self.spent_s += self.step_s
        return self.spent_s


def test_a_slice_stays_below_what_the_loop_may_be_held() -> None:
    """5 ms is a blocked loop's business."""
    assert module.SLICE_S == 0.004 < 0.005


async def test_it_burns_what_was_asked_in_slices() -> None:
    """10 ms are slices of 4, 4 and 2 ms, each told."""
    told: list[float] = []
    await Burner(Cpu(0.001)).burn(0.010, told.append)
    assert told == pytest.approx([0.004, 0.004, 0.002])


async def test_it_spends_real_cpu() -> None:
    """Measured by the thread's own clock, on a machine however busy."""
    told: list[float] = []
    before_s = time.thread_time()
    await Burner().burn(0.020, told.append)
    assert time.thread_time() - before_s >= sum(told) >= 0.020


async def test_those_who_burn_at_once_take_turns_and_the_loop_runs_between() -> None:
    """Two requests alternate, and a third task gets a turn for every slice."""
    order: list[str] = []
    turns = 0

    async def count_turns() -> None:
        """Count the loop's turns."""
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    burner = Burner(Cpu(0.001))
    counting = asyncio.ensure_future(count_turns())
    await asyncio.gather(
        burner.burn(0.012, lambda _: order.append("a")),
        burner.burn(0.012, lambda _: order.append("b")),
    )
    counting.cancel()
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert turns >= len(order)


async def test_a_cancelled_burn_has_told_what_it_burnt_and_lets_others_burn() -> None:
    """The caller left after one slice: the turn is free again."""
    told: list[float] = []
    burner = Burner(Cpu(0.001))
    burning = asyncio.ensure_future(burner.burn(10.0, told.append))
    await wait_until(lambda: bool(told))
    burning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await burning
    burnt = len(told)
    await burner.burn(0.004, told.append)
    assert len(told) == burnt + 1
