"""Lease: which answers of a store can be meant."""

import pytest

from resilience.policy.lease import LeaseGrant, LeaseRequest, TenantAsk, is_sound

REQUEST = LeaseRequest(7, {"ann": TenantAsk(1.0, 5.0, 10.0, 0.0)})


@pytest.mark.parametrize("tokens", [{"ann": 10.0}, {"ann": 0.0}, {}])
def test_all_that_was_wanted_or_less_can_be_meant(tokens: dict[str, float]) -> None:
    """A tenant left out gets nothing."""
    assert is_sound(LeaseGrant(7, 1, tokens), REQUEST)


@pytest.mark.parametrize(
    "grant",
    [
        LeaseGrant(6, 1, {}),
        LeaseGrant(7, 0, {}),
        LeaseGrant(7, 1, {"ann": 10.1}),
        LeaseGrant(7, 1, {"bob": 0.0}),
        LeaseGrant(7, 1, {"ann": -0.1}),
        LeaseGrant(7, 1, {"ann": float("nan")}),
    ],
    ids=[
        "another question's",
        "no nodes",
        "too much",
        "a stranger's",
        "below nothing",
        "no number",
    ],
)
def test_what_cannot_be_meant_is_not(grant: LeaseGrant) -> None:
    """One fault is enough."""
    assert not is_sound(grant, REQUEST)
