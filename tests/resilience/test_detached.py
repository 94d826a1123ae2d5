"""Detached work: it goes on without whoever asked for it, and is counted."""

import asyncio

import pytest

from resilience.detached import Detached


class Work:
    """Something to do that ends when it is told to."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.is_done = False
        self.was_cancelled = False

    async def do(self, fails: bool = False) -> int:
        """Wait, then answer 7 or fail."""
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        self.is_done = True
        if fails:
            raise ValueError("failed")
        return 7


async def turns() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_work_is_answered_to_who_waits() -> None:
    """Neither its answer nor its error is changed, and nothing is abandoned."""
    detached, work = Detached(), Work()
    work.may_end.set()
    assert await detached.run(work.do()) == 7
    with pytest.raises(ValueError, match="failed"):
        await detached.run(work.do(fails=True))
    assert detached.snapshot() == {"running": 0, "abandoned": 0}


@pytest.mark.parametrize("fails", [False, True])
async def test_work_outlives_a_cancelled_asker(fails: bool) -> None:
    """It goes on to its end, is counted, and its error troubles nobody."""
    detached, work = Detached(), Work()
    asking = asyncio.create_task(detached.run(work.do(fails)))
    await turns()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert repr(detached) == "<Detached 1 running, 1 abandoned>"

    work.may_end.set()
    await turns()
    assert (work.is_done, work.was_cancelled) == (True, False)
    assert detached.snapshot() == {"running": 0, "abandoned": 1}
    detached.reset(0.0)
    assert detached.abandoned == 0


async def test_closing_ends_what_goes_on() -> None:
    """A process that stops leaves no task behind."""
    detached, work = Detached(), Work()
    asking = asyncio.create_task(detached.run(work.do()))
    await turns()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await detached.close()
    assert work.was_cancelled
    assert detached.snapshot()["running"] == 0
