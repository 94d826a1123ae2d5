"""How long a value is fresh, and how long it is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shard.policy.freshness import REFRESH_S, Life, life

pytestmark = pytest.mark.unit

seconds = st.floats(0.001, 1e6)


@pytest.mark.parametrize(
    ("ttl_s", "stale_s", "expected"),
    [
        (60.0, 0.0, Life(60.0, 60.0)),
        (60.0, -1.0, Life(60.0, 60.0)),
        (60.0, 30.0, Life(60.0, 90.0)),
        (290.0, 30.0, Life(290.0, 300.0)),
        (400.0, 30.0, Life(300.0, 300.0)),
    ],
)
def test_the_stale_time_follows_the_fresh_one(ttl_s: float, stale_s: float, expected: Life) -> None:
    """None when it is off; what is too long is cut from the end."""
    assert life(ttl_s, stale_s, 300.0) == expected


@given(seconds, st.floats(-10.0, 1e6), seconds)
def test_no_life_is_too_long_and_freshness_is_part_of_it(
    ttl_s: float, stale_s: float, longest_s: float
) -> None:
    """Whatever is asked for."""
    found = life(ttl_s, stale_s, longest_s)
    assert 0 < found.fresh_s <= found.total_s <= longest_s
    assert found.fresh_s <= ttl_s


def test_a_refresh_is_left_to_one_reader_for_two_seconds() -> None:
    """As long as it may take."""
    assert REFRESH_S == 2.0
