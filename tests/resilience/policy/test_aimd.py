"""AIMD limit: the published vectors, its bounds and its saw-tooth."""

import pytest

from resilience.policy import aimd
from resilience.policy.aimd import AimdLimit
from tests.golden import transcript


def test_defaults_are_those_of_netflix_but_the_least() -> None:
    """20 within ..200, nine tenths, 5 s; the least is 1 where Netflix has 20."""
    limit = AimdLimit()

    assert (aimd.INITIAL_LIMIT, aimd.MIN_LIMIT, aimd.MAX_LIMIT) == (20, 1, 200)
    assert (aimd.BACKOFF_RATIO, aimd.TIMEOUT_S) == (0.9, 5.0)
    assert (limit.value, limit.min_limit, limit.max_limit) == (20, 1, 200)
    assert (limit.backoff_ratio, limit.timeout_s) == (0.9, 5.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"initial": 0}, "must hold"),
        ({"initial": 5, "min_limit": 6}, "must hold"),
        ({"initial": 5, "max_limit": 4}, "must hold"),
        ({"min_limit": 0}, "must hold"),
        ({"backoff_ratio": 0.49}, "at least 0.5 and below 1"),
        ({"backoff_ratio": 1.0}, "at least 0.5 and below 1"),
        ({"timeout_s": 0.0}, "above 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, float], message: str) -> None:
    """Each error says which argument and what is allowed."""
    with pytest.raises(ValueError, match=message):
        AimdLimit(**arguments)  # type: ignore[arg-type]


def test_arguments_at_their_bounds_are_taken() -> None:
    """One place, backed off by half."""
    assert AimdLimit(1, min_limit=1, max_limit=1, backoff_ratio=0.5, timeout_s=0.001).value == 1


@pytest.mark.paper
def test_published_vectors() -> None:
    """AIMDLimitTest: from 10, a success makes 11 and a drop 9."""
    up, down = AimdLimit(10), AimdLimit(10)
    up.on_sample(0.001, 10, False, 1.0)
    down.on_sample(0.001, 10, True, 1.0)

    assert (up.value, down.value) == (11, 9)


def test_it_climbs_only_while_half_of_it_is_used() -> None:
    """Four of ten in flight say nothing about eleven; five do."""
    limit = AimdLimit(10)
    limit.on_sample(0.1, 4, False, 1.0)
    assert limit.value == 10
    limit.on_sample(0.1, 5, False, 1.1)

    assert limit.value == 11


def test_a_round_trip_above_the_timeout_is_a_drop() -> None:
    """5 s is still an answer, a moment more is none."""
    limit = AimdLimit(100)
    limit.on_sample(5.0, 100, False, 5.0)
    assert limit.value == 101
    limit.on_sample(5.001, 100, False, 10.0)

    assert limit.value == 90


def test_it_stays_within_its_bounds() -> None:
    """A thousand answers end at the most, a thousand drops at the least; and both come back."""
    limit = AimdLimit(20, min_limit=3, max_limit=50)
    for number in range(1000):
        limit.on_sample(0.1, 50, False, float(number))
    assert limit.value == 50
    for number in range(1000):
        limit.on_sample(0.1, 50, True, float(number))
    assert limit.value == 3
    limit.on_sample(0.1, 3, False, 2000.0)
    assert limit.snapshot() == {"limit": 4}
    limit.reset(2000.0)
    assert limit.value == 20


@pytest.mark.golden
def test_the_saw_tooth() -> None:
    """A service that drops whatever is above 14: the limit climbs over it and falls back."""
    limit = AimdLimit(10)
    lines = []
    for number in range(12):
        dropped = limit.value > 14
        limit.on_sample(0.1, int(limit.value), dropped, float(number))
        lines.append(f"{number:2d} s  {'dropped' if dropped else 'answered'} -> {limit!r}")
    transcript.check("aimd", lines)
