"""A tenant's account on one node: what it asks for, gives back, and gets of a local share."""

import pytest

from resilience.policy.lease import TenantAsk
from resilience.policy.lease_account import Account, fill


def test_demand_rises_at_once_and_falls_by_half() -> None:
    """So a pause of a round costs nobody his tokens."""
    account = Account(1.0, 0.0, 0.0)
    account.asked = 40.0
    account.measure(0.5)
    assert (account.demand_rps, account.asked) == (80.0, 0.0)
    account.measure(0.5)
    assert account.demand_rps == 40.0


def test_what_is_far_beyond_the_need_goes_back() -> None:
    """Two more rounds may be kept; a slow tenant keeps his token; the idle keep nothing."""
    account = Account(1.0, 100.0, 4.0)
    account.demand_rps = 50.0
    ask = account.ask(0.2, is_alone=False, is_idle=False)
    assert (ask.want, ask.back, account.tokens, account.owed) == (0.0, 56.0, 40.0, 0.0)

    slow = Account(2.0, 0.25, 0.0)
    assert slow.ask(0.5, is_alone=False, is_idle=False) == TenantAsk(2.0, 0.0, 0.75, 0.0)
    assert slow.ask(0.5, is_alone=False, is_idle=True) == TenantAsk(2.0, 0.0, 0.0, 0.25)
    alone = Account(1.0, 9.0, 3.0)
    assert alone.ask(0.5, is_alone=True, is_idle=True).back == 0.0
    assert repr(account) == "<Account 40 tokens, asked for 50/s>"


def test_fill_divides_by_demand_and_what_is_spare_by_weight() -> None:
    """Ten asked of a hundred: 10 + 30 for him, 60 for the other, who is due twice as much."""
    accounts = {"ann": Account(1.0, 0.0, 0.0), "bob": Account(2.0, 0.0, 0.0)}
    accounts["ann"].demand_rps = 10.0
    fill(accounts, 100.0, 0.1)
    assert (accounts["ann"].tokens, accounts["bob"].tokens) == pytest.approx((4.0, 6.0))

    fill(accounts, 100.0, 0.1)
    fill(accounts, 100.0, 0.1)
    assert (accounts["ann"].tokens, accounts["bob"].tokens) == pytest.approx((8.0, 12.0))
    accounts["ann"].tokens = 50.0  # left of a lease: kept, and nothing is added
    fill(accounts, 100.0, 0.1)
    assert accounts["ann"].tokens == 50.0


def test_low_is_less_than_half_a_round_s_demand_for_one_who_got_all() -> None:
    """At forty a second and a tenth of a second: below two tokens; who is short never is."""
    account = Account(1.0, 2.0, 0.0)
    account.demand_rps = 40.0
    assert not account.is_low(0.1)

    account.tokens = 1.9
    assert account.is_low(0.1)

    account.is_scarce = True
    assert not account.is_low(0.1)
