"""Sweep: many times to end at, one timer."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from resilience.sweep import EARLY_S, GRAIN_S, Sweep, task_here

pytestmark = pytest.mark.unit


class FakeTimer:
    """A timer that goes off when told."""

    def __init__(self, delay_s: float, on_time: Callable[[], None]) -> None:
        self.delay_s = delay_s
        self.on_time = on_time
        self.cancelled = False

    def cancel(self) -> None:
        """Never go off."""
        self.cancelled = True


class FakeLoop:
    """An event loop that only keeps timers; it is its own clock."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.timers: list[FakeTimer] = []

    def call_later(self, delay_s: float, on_time: Callable[[], None]) -> FakeTimer:
        """Keep a timer."""
        self.timers.append(FakeTimer(delay_s, on_time))
        return self.timers[-1]

    def go(self, now_s: float) -> None:
        """Let time pass, and the last timer go off."""
        self.now_s = now_s
        assert not self.timers[-1].cancelled
        self.timers[-1].on_time()


class Fuse:
    """Notes that it fired, and does what it is told to."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.fired = 0
        self._then = then

    def fire(self) -> None:
        """Note it."""
        self.fired += 1
        self._then()


@pytest.fixture
def loop() -> FakeLoop:
    """Make a loop without tasks."""
    return FakeLoop()


@pytest.fixture
def sweep(loop: FakeLoop) -> Sweep:
    """Make a sweep on it."""
    return Sweep(loop, lambda: loop.now_s)  # type: ignore[arg-type]  # all that it uses of a loop


def test_the_documented_figures() -> None:
    """A crowd is swept each 4 ms, and a timer may be 1 ms early."""
    assert (GRAIN_S, EARLY_S) == (0.004, 0.001)


def test_only_an_earlier_time_moves_the_timer(loop: FakeLoop, sweep: Sweep) -> None:
    """Three times, two timers, one of them taken back."""
    for timeout_s in (1.0, 2.0, 0.5):
        sweep.set(Fuse(), timeout_s)

    assert [(timer.delay_s, timer.cancelled) for timer in loop.timers] == [
        (1.0, True),
        (0.5, False),
    ]
    assert repr(sweep) == "<Sweep 3 set>"


def test_what_is_due_fires_once_and_the_rest_waits_for_its_own_time(
    loop: FakeLoop, sweep: Sweep
) -> None:
    """After the first the timer is set for the second, and after that for none."""
    first, second = Fuse(), Fuse()
    sweep.set(first, 1.0)
    sweep.set(second, 3.0)

    loop.go(101.0)
    assert (first.fired, second.fired) == (1, 0)
    assert loop.timers[-1].delay_s == 2.0

    loop.go(103.0)
    assert (first.fired, second.fired) == (1, 1)
    assert len(loop.timers) == 2


def test_a_timer_that_is_a_little_early_counts(loop: FakeLoop, sweep: Sweep) -> None:
    """Up to ``EARLY_S``; one still earlier looks again."""
    near, far = Fuse(), Fuse()
    sweep.set(near, 1.0)
    sweep.set(far, 1.0 + EARLY_S)

    loop.go(101.0 - EARLY_S / 2)

    assert (near.fired, far.fired) == (1, 0)


def test_a_crowd_is_swept_once_each_grain(loop: FakeLoop, sweep: Sweep) -> None:
    """What falls due a moment after a sweep waits for the next."""
    sweep.set(Fuse(), 1.0)
    late = Fuse()
    sweep.set(late, 1.0 + 2 * EARLY_S)

    loop.go(101.0)
    assert loop.timers[-1].delay_s == pytest.approx(GRAIN_S)

    loop.go(101.0 + GRAIN_S)
    assert late.fired == 1


def test_what_was_taken_back_never_fires(loop: FakeLoop, sweep: Sweep) -> None:
    """The timer goes off for nobody, and is not set again."""
    fuse = Fuse()
    sweep.set(fuse, 1.0)
    sweep.unset(fuse)
    sweep.unset(fuse)

    loop.go(101.0)

    assert fuse.fired == 0
    assert len(loop.timers) == 1


def test_a_time_after_the_last_sweep_sets_a_timer_again(loop: FakeLoop, sweep: Sweep) -> None:
    """The time the timer was last set for is forgotten with it."""
    sweep.set(Fuse(), 1.0)
    loop.go(101.0)
    later = Fuse()
    sweep.set(later, 5.0)

    loop.go(106.0)

    assert later.fired == 1


def test_one_that_takes_another_back_is_obeyed(loop: FakeLoop, sweep: Sweep) -> None:
    """Both are due in the same sweep."""
    second = Fuse()
    sweep.set(Fuse(lambda: sweep.unset(second)), 1.0)
    sweep.set(second, 1.0)

    loop.go(101.0)

    assert second.fired == 0


def test_one_that_sets_another_leaves_its_timer(loop: FakeLoop, sweep: Sweep) -> None:
    """The timer stays at the earlier time that was set while sweeping."""
    sweep.set(Fuse(lambda: sweep.set(Fuse(), 0.001)), 1.0)
    sweep.set(Fuse(), 9.0)

    loop.go(101.0)

    assert loop.timers[-1].delay_s == pytest.approx(0.001)
    assert not loop.timers[-1].cancelled


def test_one_that_raises_does_not_keep_the_others_from_firing(loop: FakeLoop, sweep: Sweep) -> None:
    """They are due in the next sweep; the error goes to whoever runs the timer."""

    def fail() -> None:
        raise ZeroDivisionError

    sweep.set(Fuse(fail), 1.0)
    other = Fuse()
    sweep.set(other, 1.0)

    with pytest.raises(ZeroDivisionError):
        loop.go(101.0)
    assert other.fired == 0

    loop.go(101.0 + GRAIN_S)
    assert other.fired == 1


def test_a_time_already_past_fires_at_once(loop: FakeLoop, sweep: Sweep) -> None:
    """No timer is asked for less than nothing."""
    fuse = Fuse()
    sweep.set(fuse, -1.0)
    assert loop.timers[-1].delay_s == 0.0

    loop.go(100.0)

    assert fuse.fired == 1


def test_each_loop_of_a_thread_has_a_sweep_of_its_own() -> None:
    """Found again by every task of that loop, and never by another's."""

    async def found() -> tuple[bool, Sweep]:
        task, sweep = task_here()
        again = await asyncio.ensure_future(other())
        return task is asyncio.current_task() and again is sweep, sweep

    async def other() -> Sweep:
        return task_here()[1]

    first, second = asyncio.run(found()), asyncio.run(found())
    assert (first[0], second[0]) == (True, True)
    assert first[1] is not second[1]


async def test_two_threads_share_none() -> None:
    """Each finds its own loop's, also when both run at once."""
    _, mine = task_here()
    found: list[Sweep] = []

    async def theirs() -> None:
        found.append(task_here()[1])

    thread = threading.Thread(target=lambda: asyncio.run(theirs()))
    thread.start()
    await asyncio.to_thread(thread.join)

    assert found[0] is not mine
    assert task_here()[1] is mine
    assert found[0].loop is not mine.loop


def test_outside_of_a_loop_there_is_no_task() -> None:
    """Whether or not a loop has run here before."""
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no running event loop"):
            task_here()
        asyncio.run(asyncio.sleep(0))


async def test_a_callback_without_a_task_is_told_so() -> None:
    """Nothing there could be cancelled."""
    loop = asyncio.get_running_loop()
    said: asyncio.Future[str] = loop.create_future()

    def ask() -> None:
        try:
            task_here()
        except AssertionError as error:
            said.set_result(str(error))

    loop.call_soon(ask)

    assert await said == "what has a time to end at needs a task"
