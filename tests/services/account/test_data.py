"""Accounts and sessions in a real store."""

import asyncio

import pytest

from services.account.data import LAST_SEEDED_ID, StoreAccounts, session_key
from shard.store import StoreClient

pytestmark = pytest.mark.integration


async def test_added_account_is_found_by_id_and_name(store: StoreClient) -> None:
    """An account is found under its id and its name, and its id is above the seeded ones."""
    accounts = StoreAccounts(store)
    added = await accounts.add("found_by_both", 1_800_000_000)
    assert added.id > LAST_SEEDED_ID
    assert await accounts.find(added.id) == added
    assert await accounts.find_by_name("found_by_both") == added


async def test_unknown_accounts_are_none(store: StoreClient) -> None:
    """What isn't there is None, or left out of a batch."""
    accounts = StoreAccounts(store)
    added = await accounts.add("one_of_a_batch", 1)
    assert await accounts.find(999_999) is None
    assert await accounts.find_by_name("nobody_has_this") is None
    assert await accounts.find_many([999_999, added.id]) == [added]


async def test_a_name_made_twice_at_once_is_one_account(store: StoreClient) -> None:
    """Of several who make the same name at once one wins, and all get the winner's account."""
    accounts = StoreAccounts(store)
    made = await asyncio.gather(*(accounts.add("raced_for", 1) for _ in range(8)))
    assert len({each.id for each in made}) == 1
    assert await accounts.find_by_name("raced_for") == made[0]


async def test_session_is_kept_for_its_time_without_its_token(store: StoreClient) -> None:
    """A token leads to its account and the seconds left; the store holds only the token's hash."""
    accounts = StoreAccounts(store)
    owner = await accounts.add("session_owner", 1)
    token = "0123456789abcdef" * 2
    await accounts.keep_session(token, owner, 100)
    found = await accounts.find_session(token)
    assert found is not None
    assert found[0] == owner
    assert 95 <= found[1] <= 100
    assert token not in session_key(token)
    assert await accounts.find_session("f" * 32) is None
