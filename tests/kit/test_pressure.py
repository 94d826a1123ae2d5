"""Pressure: the largest of its signals, three sampled and one asked anew."""

import pytest

from kit import pressure as module
from kit.pressure import Pressure


class World:
    """Everything pressure looks at, as plain numbers."""

    def __init__(self, cores: float = 1.0) -> None:
        self.now_s = self.cpu_s = self.lag_s = self.busy = self.wait_s = 0.0
        self.pressure = Pressure(
            lambda: self.busy,
            lambda: self.lag_s,
            lambda: self.wait_s,
            cores,
            lambda: self.now_s,
            lambda: self.cpu_s,
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
