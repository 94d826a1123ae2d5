"""Fixed limit: it stays, and refuses to be less than one."""

import pytest

from resilience.policy.fixed import FixedLimit


def test_nothing_moves_a_fixed_limit() -> None:
    """Answers, drops and a reset leave it where it was put."""
    limit = FixedLimit(7)
    limit.on_sample(0.1, 7, False, 1.0)
    limit.on_sample(9.0, 7, True, 2.0)
    limit.reset(3.0)

    assert (limit.value, limit.snapshot()) == (7, {"limit": 7})
    assert repr(limit) == "<FixedLimit 7>"


def test_it_may_be_set_anew_but_not_below_one() -> None:
    """A limit of nought would refuse for ever."""
    limit = FixedLimit(7)
    limit.set(1)
    assert limit.value == 1
    with pytest.raises(ValueError, match="at least 1"):
        limit.set(0)
    with pytest.raises(ValueError, match="limit=-3"):
        FixedLimit(-3)
