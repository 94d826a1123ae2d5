"""The watchdog: lag measured, and the function named that blocked the loop."""

import time

from kit.watchdog import BEAT_S, BLOCKED_S, LagCounter, Watchdog, read_stack
from tests.kit.lab import wait_until


def block_the_loop(watchdog: Watchdog) -> None:
    """Do what nobody should do in a coroutine, for 400 ms and until the watchdog has looked."""
    watchdog._caught = None  # what it may have seen of a machine that stood still
    until_s = time.monotonic() + 0.4
    while watchdog._caught is None or time.monotonic() < until_s:
        time.sleep(0.01)


async def test_a_block_is_named_while_it_lasts() -> None:
    """400 ms of sleep: the function, at least 200 ms, and lag in the statistics."""
    watchdog = Watchdog()
    watchdog.start()
    try:
        await wait_until(lambda: watchdog.stats().beats >= 1)
        block_the_loop(watchdog)
        name = "tests.kit.test_watchdog.block_the_loop"
        await wait_until(lambda: watchdog.named().get(name) == 1)
        block = next(one for one in watchdog.blocks if name in one.function)
        assert block.duration_ms > 200.0
        assert any("test_a_block_is_named" in frame for frame in block.stack)
        assert watchdog.p99_s() > 0.2
        assert watchdog.stats().max_ms > 200.0
        watchdog.reset()
        assert watchdog.named() == {}
        assert watchdog.stats().beats == 0
        assert len(watchdog.blocks) == 0
    finally:
        watchdog.stop()


async def test_an_idle_loop_has_beats_and_no_blocks() -> None:
    """Each beat calls the sampler."""
    beats: list[int] = []
    watchdog = Watchdog(lambda: beats.append(1))
    watchdog.start()
    try:
        await wait_until(lambda: len(beats) >= 3)
    finally:
        watchdog.stop()
    assert watchdog.stats().beats >= 3
    assert "Watchdog lag" in repr(watchdog)
    assert (BEAT_S, BLOCKED_S) == (0.1, 0.1)


async def test_blocks_are_counted_by_the_functions_qualified_name() -> None:
    """Two blocks at different lines of one method are two of that method."""

    class Report:
        """Something that blocks in two places."""

        def write(self, late: bool) -> None:
            """Sleep where nobody should."""
            watchdog._caught = None
            if late:
                while watchdog._caught is None:
                    time.sleep(0.01)
            else:
                while watchdog._caught is None:
                    time.sleep(0.01)

    watchdog = Watchdog()
    watchdog.start()
    try:
        for late in (False, True):
            beats = watchdog.stats().beats
            await wait_until(lambda beats=beats: watchdog.stats().beats > beats)  # type: ignore[misc]
            Report().write(late)
        name = f"{Report.write.__module__}.{Report.write.__qualname__}"
        await wait_until(lambda: watchdog.named().get(name) == 2)
    finally:
        watchdog.stop()


async def test_a_block_that_nobody_could_look_into_is_counted_under_no_name() -> None:
    """Only its length is known."""
    watchdog = Watchdog()
    watchdog._report(("?",), 0.5)
    assert (len(watchdog.blocks), watchdog.named()) == (1, {})


def test_lag_percentiles_are_within_a_tenth() -> None:
    """98 beats of 1 ms and 2 of 80 ms: p50 about 1, p99 about 80, maximum 80."""
    counter = LagCounter()
    for _ in range(98):
        counter.add(0.001)
    counter.add(0.08)
    counter.add(0.08)
    stats = counter.stats()
    assert 1.0 <= stats.p50_ms <= 1.1
    assert 72.0 <= stats.p99_ms <= 80.0
    assert stats.max_ms == 80.0
    assert LagCounter().stats() == (0.0, 0.0, 0.0, 0)


def test_the_longest_lag_fits_the_last_bucket() -> None:
    """A minute of block breaks nothing."""
    counter = LagCounter()
    counter.add(60.0)
    assert counter.stats().max_ms == 60_000.0


def test_no_frame_is_an_empty_stack() -> None:
    """A thread that has ended has none."""
    assert read_stack(None) == ()
