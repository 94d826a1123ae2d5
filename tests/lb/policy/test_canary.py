"""Canary: the share asked for, the same users, and a side that is empty."""

import random
from collections import Counter

import pytest

from lb.policy.canary import Canary, place_of
from lb.policy.p2c import P2C
from resilience.policy.contract import Request

pytestmark = pytest.mark.unit
USERS = [Request(key=f"user:{n}") for n in range(4000)]


def canary(share: float, seed: int = 1, salt: str = "") -> Canary:
    """Make one over three stable endpoints and a new one."""
    rng = random.Random(seed)
    one = Canary(rng, lambda name: name == "new", lambda: P2C(rng), share, salt=salt)
    one.set_endpoints(["a", "b", "c", "new"])
    return one


def chosen(one: Canary) -> set[str]:
    """Name the users that meet the new version."""
    return {user.key for user in USERS if one.pick(user, (), 0.0) == "new"}


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_share_is_that_of_requests_not_of_endpoints(share: float) -> None:
    """One endpoint of four gets the share asked for, with keys and without."""
    one = canary(share)
    assert abs(len(chosen(one)) / len(USERS) - share) < 0.015
    picks = Counter(one.pick(Request(), (), 0.0) for _ in range(10_000))
    assert abs(picks["new"] / 10_000 - share) < 0.02


def test_users_are_the_same_everywhere_and_a_greater_share_adds_to_them() -> None:
    """Two balancers choose the same users; from 5 to 10 % nobody is moved back."""
    few = chosen(canary(0.05, seed=1))
    assert few == chosen(canary(0.05, seed=2))
    one = canary(0.05)
    one.set_share(0.10)
    assert few < chosen(one)


def test_another_salt_chooses_other_users() -> None:
    """The users of the last canary aren't always those of the next."""
    assert len(chosen(canary(0.05)) & chosen(canary(0.05, salt="2"))) < 30  # 10 by chance


def test_an_empty_side_leaves_all_to_the_other() -> None:
    """With the canary down the stable ones serve its users, and the other way round."""
    one = canary(0.5)
    one.set_candidates(["a", "b", "c"])
    assert chosen(one) == set()
    one.set_candidates(["new"])
    assert len(chosen(one)) == len(USERS)
    one.set_candidates(())
    assert one.pick(USERS[0], (), 0.0) is None


def test_a_retry_may_leave_its_side() -> None:
    """When the only canary failed, a stable endpoint answers."""
    assert canary(1.0).pick(Request(key="u"), ("new",), 0.0) in {"a", "b", "c"}


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_bad_share_is_refused(share: float) -> None:
    """Percent instead of a share is what people give by mistake."""
    with pytest.raises(ValueError, match="share must be within 0 and 1"):
        canary(share)


def test_places_lie_between_zero_and_one() -> None:
    """A key's place is below 1, so that a share of 1 takes everybody."""
    places = [place_of(user.key) for user in USERS]
    assert 0.0 <= min(places) < 0.01
    assert 0.99 < max(places) < 1.0
