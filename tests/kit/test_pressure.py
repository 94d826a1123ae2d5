"""Pressure: the largest of its signals, three sampled and one asked anew."""

import pytest

from kit import pressure as module
from kit.cgroup import Periods
from kit.pressure import Pressure


class World:
    """Everything pressure looks at, as plain numbers."""

    def __init__(self, cores: float = 1.0) -> None:
        self.now_s = self.cpu_s = self.lag_s = self.busy = self.wait_s = 0.0
        self.periods: Periods | None = None
        self.pressure = Pressure(
            lambda: self.busy,
            lambda: self.lag_s,
            lambda: self.wait_s,
            cores,
            lambda: self.now_s,
            lambda: self.cpu_s,
            lambda: self.periods,
        )

    def after(self, seconds: float, cpu_s: float = 0.0) -> float:
        """Let time pass, sample, return the pressure."""
        self.now_s += seconds
        self.cpu_s += cpu_s
        self.pressure.tick()
        return self.pressure.value


def test_cpu_counts_against_the_quota() -> None:
    """0.25 CPU seconds in 0.5 s are half a core: full when half a core is all there is."""
    assert World(1.0).after(0.5, 0.25) == pytest.approx(0.5)
    assert World(0.5).after(0.5, 0.25) == pytest.approx(1.0)


def test_the_largest_signal_holds() -> None:
    """Lag of 50 ms is full, whatever the rest says."""
    world = World()
    world.busy = 0.7
    assert world.after(0.5, 0.1) == pytest.approx(0.7)
    world.lag_s = 0.05
    assert world.after(0.5, 0.1) == pytest.approx(1.0)


def test_a_queue_counts_at_once_and_half_a_second_of_it_is_full() -> None:
    """The wait a newcomer has to expect needs no sample: 0.4 s are 0.8, and gone when served."""
    world = World()
    world.wait_s = 0.4
    assert world.pressure.value == pytest.approx(0.8)
    world.wait_s = 0.0
    assert world.pressure.value == 0.0


def test_samples_come_four_times_a_second_at_most() -> None:
    """Between samples the value stands."""
    world = World()
    world.after(0.25, 0.25)
    world.busy = 1.0
    assert world.after(0.1) == pytest.approx(1.0)
    assert world.pressure.cpu_ratio == pytest.approx(1.0)
    assert world.after(0.15, 0.0) == 1.0
    assert world.pressure.cpu_ratio == 0.0
    assert module.SAMPLE_EVERY_S == 0.25


def test_a_quota_that_others_used_up_is_used_up() -> None:
    """Held back in 9 of the last 10 periods: 0.9, however little this process did itself."""
    world = World(0.5)
    world.periods = Periods(100, 40)
    assert world.after(0.25) == 0.0
    world.periods = Periods(110, 49)
    assert world.after(0.25, 0.01) == pytest.approx(0.9)
    assert world.pressure.throttled_ratio == pytest.approx(0.9)
    assert world.pressure.cpu_ratio == pytest.approx(0.08)


def test_few_periods_say_nothing() -> None:
    """Four of four are chance: a burst of a tenth of a second fills as many."""
    world = World()
    world.periods = Periods(100, 40)
    world.after(0.25)
    world.periods = Periods(104, 44)
    assert world.after(0.25) == 0.0


def test_throttling_is_of_the_last_second() -> None:
    """Held back in all ten periods of one second; five samples later nothing is left of it."""
    world = World()
    for all_of_them, throttled in ((0, 0), (10, 10), (13, 10), (15, 10), (18, 10), (20, 10)):
        world.periods = Periods(all_of_them, throttled)
        pressure = world.after(0.25)
    assert pressure == 0.0
    assert (module.THROTTLE_SAMPLES, module.MIN_PERIODS) == (4, 5)


def test_a_group_that_is_gone_holds_nobody_back() -> None:
    """Its file can't be read any more: 0, and a new one counts from its own beginning."""
    world = World()
    world.periods = Periods(100, 40)
    world.after(0.25)
    world.periods = None
    assert world.after(0.25) == 0.0
    world.periods = Periods(10, 10)
    assert world.after(0.25) == 0.0
