"""Back-off: the published formulas, their bounds, and what a huge retry number does to them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.policy import backoff
from resilience.policy.backoff import (
    Growth,
    Jitter,
    decorrelated_s,
    envoy_step_s,
    equal_jitter_s,
    exponential_step_s,
    full_jitter_s,
)
from resilience.policy.retry import RetrySettings


class Drawn(random.Random):
    """Draw what it was told to."""

    def __init__(self, *draws: float) -> None:
        super().__init__(0)
        self._draws = list(draws)

    def random(self) -> float:
        return self._draws.pop(0) if len(self._draws) > 1 else self._draws[0]


def test_defaults_are_those_of_envoy_a6_and_aws() -> None:
    """25 ms, 250 ms; doubling; three times the last wait."""
    assert (backoff.BACKOFF_BASE_S, backoff.BACKOFF_CAP_S) == (0.025, 0.25)
    assert (backoff.BACKOFF_MULTIPLIER, backoff.DECORRELATED_GROWTH) == (2.0, 3.0)


@pytest.mark.paper
def test_envoy_s_steps() -> None:
    """router_filter.rst: 0-24, 0-74, 0-174 ms, capped at 250."""
    steps = [envoy_step_s(retry, 0.025, 0.25) for retry in range(1, 6)]

    assert steps == pytest.approx([0.025, 0.075, 0.175, 0.25, 0.25])


@pytest.mark.paper
def test_exponential_steps() -> None:
    """AWS: min(cap, base × 2^attempt), attempt from 0; A6: its multiplier may be another."""
    assert [exponential_step_s(retry, 1.0, 10.0) for retry in range(1, 6)] == [1, 2, 4, 8, 10]
    assert [exponential_step_s(n, 0.1, 5.0, 3.0) for n in (1, 2, 3)] == pytest.approx(
        [0.1, 0.3, 0.9]
    )
    assert [exponential_step_s(retry, 0.5, 5.0, 1.0) for retry in (1, 9)] == [0.5, 0.5]


@pytest.mark.paper
def test_full_and_equal_jitter() -> None:
    """AWS: random_between(0, step); step / 2 + random_between(0, step / 2)."""
    assert [full_jitter_s(8.0, Drawn(share)) for share in (0.0, 0.25, 0.75)] == [0.0, 2.0, 6.0]
    assert [equal_jitter_s(8.0, Drawn(share)) for share in (0.0, 0.25, 0.75)] == [4.0, 5.0, 7.0]


@pytest.mark.paper
def test_decorrelated_jitter_walks_from_the_last_wait() -> None:
    """AWS: sleep = min(cap, random_between(base, sleep × 3)), beginning at the base."""
    rng, waits, last_s = Drawn(0.5), [], 0.0
    for _ in range(4):
        last_s = decorrelated_s(last_s, 1.0, 7.0, rng)
        waits.append(last_s)

    assert waits == [2.0, 3.5, 5.75, 7.0]
    assert decorrelated_s(7.0, 1.0, 7.0, Drawn(0.0)) == 1.0
    assert decorrelated_s(0.0, 9.0, 7.0, Drawn(0.0)) == 7.0


@pytest.mark.parametrize("retry", [1025, 10**6])
def test_a_retry_number_beyond_a_float_is_the_cap(retry: int) -> None:
    """Two to the millionth is more than a float holds, and no error."""
    assert exponential_step_s(retry, 0.1, 5.0) == envoy_step_s(retry, 0.1, 5.0) == 5.0
    assert exponential_step_s(retry, 0.0, 5.0) == envoy_step_s(retry, 0.0, 5.0) == 0.0


@pytest.mark.parametrize(
    ("jitter", "growth", "waits"),
    [
        (Jitter.NONE, Growth.EXPONENTIAL, [1.0, 2.0, 4.0, 5.0]),
        (Jitter.NONE, Growth.ENVOY, [1.0, 3.0, 5.0, 5.0]),
        (Jitter.FULL, Growth.EXPONENTIAL, [0.5, 1.0, 2.0, 2.5]),
        (Jitter.FULL, Growth.ENVOY, [0.5, 1.5, 2.5, 2.5]),
        (Jitter.EQUAL, Growth.EXPONENTIAL, [0.75, 1.5, 3.0, 3.75]),
        (Jitter.DECORRELATED, Growth.ENVOY, [2.0, 3.5, 5.0, 5.0]),
    ],
)
def test_settings_choose_the_formula(jitter: Jitter, growth: Growth, waits: list[float]) -> None:
    """Base 1 s, cap 5 s, and a draw of one half each time."""
    settings = RetrySettings(base_s=1.0, cap_s=5.0, jitter=jitter, growth=growth)
    drawn, last_s = [], 0.0
    for retry in range(1, 5):
        last_s = settings.backoff_s(retry, Drawn(0.5), last_s)
        drawn.append(last_s)

    assert drawn == waits


@given(
    st.sampled_from(list(Jitter)),
    st.sampled_from(list(Growth)),
    st.integers(1, 2000),
    st.floats(0, 10),
    st.floats(0, 10),
    st.integers(0, 2**32),
)
def test_no_wait_is_negative_or_above_the_cap(
    jitter: Jitter, growth: Growth, retry: int, base_s: float, cap_s: float, seed: int
) -> None:
    """Whatever the formula, the number and the draw."""
    settings = RetrySettings(base_s=base_s, cap_s=cap_s, jitter=jitter, growth=growth)

    assert 0.0 <= settings.backoff_s(retry, random.Random(seed), cap_s) <= cap_s
