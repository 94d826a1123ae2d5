"""Breaker settings: defaults with their sources, ranges, and how long open is."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.policy import breaker_settings
from resilience.policy.breaker_settings import BreakerSettings
from resilience.policy.breaker_window import CountWindow, TimeWindow


@pytest.mark.unit
def test_defaults_are_those_of_resilience4j() -> None:
    """All of CircuitBreakerConfig, but for half-open, which ends here; cap by Envoy."""
    settings = BreakerSettings()
    assert (settings.window_calls, settings.window_s, settings.min_calls) == (100, None, 100)
    assert (settings.failure_ratio, settings.slow_ratio, settings.slow_s) == (0.5, 1.0, 60.0)
    assert (settings.open_s, settings.open_growth, settings.open_jitter_ratio) == (60.0, 1.0, 0.0)
    assert (settings.open_cap_s, settings.half_open_calls) == (300.0, 10)
    assert settings.max_half_open_s == 60.0
    assert breaker_settings.BUCKETS == 10


@pytest.mark.unit
def test_settings_make_the_window_they_ask_for() -> None:
    """Seconds, when given, replace the count."""
    count = BreakerSettings(window_calls=20, min_calls=5).new_window()
    assert isinstance(count, CountWindow)
    assert count.size == 20

    time = BreakerSettings(window_s=30.0).new_window()
    assert isinstance(time, TimeWindow)
    assert (time.buckets, time.bucket_s) == (10, 3.0)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("field", "wrong", "allowed"),
    [
        ("window_calls", 0, ">= 1"),
        ("window_s", 0.0, "> 0 or None"),
        ("min_calls", 0, r"1\.\.100, the window"),
        ("min_calls", 101, r"1\.\.100, the window"),
        ("failure_ratio", 0.0, "> 0 and <= 1"),
        ("failure_ratio", 1.01, "> 0 and <= 1"),
        ("slow_ratio", 0.0, "> 0 and <= 1"),
        ("slow_ratio", 1.01, "> 0 and <= 1"),
        ("slow_s", -0.1, ">= 0"),
        ("open_s", 0.0, "> 0"),
        ("open_growth", 0.9, ">= 1"),
        ("open_cap_s", 59.0, r">= open_s=60\.0"),
        ("open_jitter_ratio", -0.1, ">= 0 and < 1"),
        ("open_jitter_ratio", 1.0, ">= 0 and < 1"),
        ("half_open_calls", 0, ">= 1"),
        ("max_half_open_s", 0.0, "> 0"),
    ],
)
def test_what_can_not_work_is_an_error(field: str, wrong: float, allowed: str) -> None:
    """The message names the field, the value and the range."""
    with pytest.raises(ValueError, match=f"{field}={wrong} must be {allowed}"):
        BreakerSettings(**{field: wrong})  # type: ignore[arg-type]


@pytest.mark.unit
def test_the_ends_of_the_ranges_are_allowed() -> None:
    """The smallest and largest values of each range make settings."""
    BreakerSettings(window_calls=1, min_calls=1, failure_ratio=1.0, slow_s=0.0)
    BreakerSettings(open_cap_s=60.0, half_open_calls=1, window_s=0.01, min_calls=100_000)
    BreakerSettings(open_growth=1.0, open_jitter_ratio=0.0, min_calls=1, slow_ratio=0.01)
    with pytest.raises(ValueError, match="min_calls=0 must be >= 1"):
        BreakerSettings(window_s=1.0, min_calls=0)


@pytest.mark.property
@given(st.floats(0.01, 300.0), st.floats(0.0, 0.99), st.integers())
def test_jitter_stays_around_the_time_and_under_the_cap(
    time_s: float, jitter: float, seed: int
) -> None:
    """Between -jitter and +jitter of the time, and never above the cap."""
    settings = BreakerSettings(open_jitter_ratio=jitter)
    drawn_s = settings.jittered_s(time_s, random.Random(seed))

    assert time_s * (1 - jitter) * 0.999 <= drawn_s <= time_s * (1 + jitter) * 1.001
    assert drawn_s <= settings.open_cap_s


@pytest.mark.unit
def test_without_jitter_nothing_is_drawn() -> None:
    """The time is exact, and the generator keeps its state."""
    rng = random.Random(1)
    before = rng.getstate()
    assert BreakerSettings().jittered_s(60.0, rng) == 60.0
    assert BreakerSettings(open_jitter_ratio=0.5).jittered_s(60.0, None) == 60.0
    assert rng.getstate() == before


@pytest.mark.unit
def test_jitter_uses_both_ends() -> None:
    """The lowest draw gives -half, the highest nearly +half."""

    class Fixed(random.Random):
        drawn = 0.0

        def random(self) -> float:
            return self.drawn

    rng = Fixed()
    settings = BreakerSettings(open_jitter_ratio=0.5)
    assert settings.jittered_s(100.0, rng) == 50.0
    rng.drawn = 0.75
    assert settings.jittered_s(100.0, rng) == 125.0
    rng.drawn = 0.999
    assert settings.jittered_s(280.0, rng) == 300.0
