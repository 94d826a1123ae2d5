"""Round robin: everyone has a turn, and load changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.policy.round_robin import RoundRobin
from tests.lb.policy.patience import PATIENT

pytestmark = pytest.mark.unit


def over(*names: str) -> RoundRobin:
    """Make one over these candidates."""
    made = RoundRobin()
    made.set_candidates(names)
    return made


def test_everyone_has_a_turn() -> None:
    """Three candidates come in their order, again and again."""
    one = over("a", "b", "c")
    assert [one.pick(()) for _ in range(7)] == ["a", "b", "c", "a", "b", "c", "a"]


def test_the_excluded_lose_their_turn() -> None:
    """Whoever is excluded is passed over, and is not made up to."""
    one = over("a", "b", "c")
    assert [one.pick(("b",)) for _ in range(4)] == ["a", "c", "a", "c"]
    assert one.pick(()) == "a"


def test_nobody_left_is_nobody() -> None:
    """All excluded, or no candidates at all, is None."""
    assert over("a", "b").pick(("a", "b")) is None
    assert over().pick(()) is None


def test_fewer_candidates_go_on_from_where_the_turn_was() -> None:
    """A turn that points behind the end begins anew."""
    one = over("a", "b", "c")
    one.pick(()), one.pick(())
    one.set_candidates(("a", "b"))
    assert [one.pick(()) for _ in range(3)] == ["a", "b", "a"]


@PATIENT
@given(st.integers(1, 9), st.integers(1, 200))
def test_shares_differ_by_one_at_most(count: int, picks: int) -> None:
    """However many are picked, no candidate is ahead by more than one."""
    one = over(*map(str, range(count)))
    got = [one.pick(()) for _ in range(picks)]
    shares = [got.count(str(each)) for each in range(count)]
    assert max(shares) - min(shares) <= 1
