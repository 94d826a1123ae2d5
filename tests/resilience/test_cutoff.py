"""Cut-off: whose cancellation it was."""

import asyncio

import pytest

from resilience.cutoff import CutOff
from resilience.sweep import task_here


async def run(cut_after_s: float | None, work_s: float, *, swallow: bool = False) -> str:
    """Work under a cut-off, and say how it ended."""
    cut = CutOff(cut_after_s)
    try:
        try:
            await asyncio.sleep(work_s)
        except asyncio.CancelledError:
            if not swallow:
                raise
        return "done"
    except asyncio.CancelledError:
        if cut.claim():
            return "cut"
        raise
    finally:
        cut.close()


async def test_work_within_its_time_is_left_alone() -> None:
    """The clock is stopped and nothing is cancelled later."""
    assert await run(5.0, 0.0) == "done"
    assert await run(None, 0.0) == "done"


async def test_a_closed_cut_off_leaves_nothing_set() -> None:
    """However often it is closed; one without a time never was set."""
    _, sweep = task_here()
    with_time, without = CutOff(5.0), CutOff(None)
    assert repr(sweep) == "<Sweep 1 set>"

    for cut in (with_time, without, with_time):
        cut.close()
    assert repr(sweep) == "<Sweep 0 set>"


async def test_work_beyond_its_time_is_cut_and_the_task_goes_on() -> None:
    """The cancellation is taken back, so that later awaits work."""
    assert await run(0.01, 5.0) == "cut"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_someone_else_s_cancelling_travels_on() -> None:
    """A caller who cancels is obeyed, not called a timeout."""
    task = asyncio.ensure_future(run(5.0, 5.0))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_two_cancellations_at_once_are_not_ours_alone() -> None:
    """If the caller cancels in the same turn as the clock, the caller counts."""
    cuts: list[CutOff] = []

    async def work() -> None:
        cut = CutOff(None)
        cuts.append(cut)
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            assert not cut.claim()
            raise
        finally:
            cut.close()

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    cuts[0].fire()
    cuts[0].fire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_swallows_the_cut_leaves_the_task_clean() -> None:
    """Closing takes back a cancellation that never came through."""
    assert await run(0.01, 5.0, swallow=True) == "done"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_disarmed_cut_still_fires_by_hand_and_says_so_first() -> None:
    """``on_fire`` comes before the cancellation is felt."""
    said: list[str] = []
    cut = CutOff(5.0, lambda: said.append("now"))
    cut.disarm()
    asyncio.get_running_loop().call_soon(cut.fire)
    try:
        await asyncio.sleep(5)
    except asyncio.CancelledError:
        assert said == ["now"]
        assert cut.claim()
        assert not cut.claim()
    finally:
        cut.close()
