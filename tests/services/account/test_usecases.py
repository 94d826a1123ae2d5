"""The account service's use cases, over a repository in memory."""

import pytest

from resilience.errors import Code, ServiceError
from services.account.data import AccountRecord
from services.account.usecases import (
    SESSION_TTL_S,
    TOKEN_HEX_DIGITS,
    Accounts,
    new_token,
)
from services.checks import MAX_BATCH_IDS
from tests.services.account.fakes import MemoryAccounts

ANN = AccountRecord(1, "ann", 1_700_000_000)
BOB = AccountRecord(2, "bob_2", 1_700_000_001)


def make(*accounts: AccountRecord) -> tuple[Accounts, MemoryAccounts]:
    """Make the use cases over these accounts, with counted tokens."""
    repository = MemoryAccounts(*accounts)
    tokens = (f"{number:032x}" for number in range(1, 100))
    return Accounts(repository, lambda: 1_800_000_000.9, lambda: next(tokens)), repository


def test_defaults_are_the_documented_ones() -> None:
    """A session lasts a day and its token has 32 hex digits; a batch holds 100 ids."""
    assert (SESSION_TTL_S, TOKEN_HEX_DIGITS, MAX_BATCH_IDS) == (86_400, 32, 100)
    token = new_token()
    assert len(token) == 32
    assert set(token) <= set("0123456789abcdef")


async def test_get_finds_an_account() -> None:
    """An id leads to its account."""
    accounts, _ = make(ANN)
    assert await accounts.get(1) == ANN


@pytest.mark.parametrize("account_id", [2, 0, -5])
async def test_unknown_account_is_not_found(account_id: int) -> None:
    """An id that nobody has is NOT_FOUND, an impossible one too."""
    accounts, _ = make(ANN)
    with pytest.raises(ServiceError) as caught:
        await accounts.get(account_id)
    assert (caught.value.code, caught.value.reason) == (Code.NOT_FOUND, "ACCOUNT_NOT_FOUND")


async def test_get_many_keeps_the_order_and_leaves_out_the_unknown() -> None:
    """A batch answers in the order asked, without those that don't exist."""
    accounts, _ = make(ANN, BOB)
    assert await accounts.get_many([2, 9, -1, 1]) == [BOB, ANN]
    assert await accounts.get_many([]) == []


async def test_a_batch_above_its_limit_is_refused() -> None:
    """More than 100 ids at once are an invalid argument."""
    accounts, _ = make()
    with pytest.raises(ServiceError) as caught:
        await accounts.get_many(range(1, 102))
    assert caught.value.reason == "TOO_MANY_IDS"


async def test_session_for_a_known_name_uses_its_account() -> None:
    """Opening a session for a name that exists makes no account."""
    accounts, repository = make(BOB)
    session = await accounts.open_session("bob_2")
    assert session.account == BOB
    assert session.expires_in_s == SESSION_TTL_S
    assert len(repository.accounts) == 1


async def test_session_for_a_new_name_makes_the_account() -> None:
    """Opening a session for a new name makes its account, stamped with the clock's whole second."""
    accounts, repository = make()
    session = await accounts.open_session("newcomer")
    assert session.account.name == "newcomer"
    assert session.account.created_unix_s == 1_800_000_000
    assert repository.accounts[session.account.id] == session.account


@pytest.mark.parametrize("name", ["", "ab", "a" * 33, "Ann", "ann b", "änn", "ann\n", "a-b-c"])
async def test_bad_names_are_refused(name: str) -> None:
    """A name is 3 to 32 of a to z, 0 to 9 and underscore; anything else is an invalid argument."""
    accounts, _ = make()
    with pytest.raises(ServiceError) as caught:
        await accounts.open_session(name)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.reason == "ACCOUNT_NAME_INVALID"


async def test_token_leads_back_to_its_account() -> None:
    """A token that was given out resolves to its account and the time it has left."""
    accounts, _ = make(ANN)
    opened = await accounts.open_session("ann")
    assert await accounts.resolve_session(opened.token) == opened


@pytest.mark.parametrize("token", ["", "x", "F" * 32, "0" * 31, "f" * 32])
async def test_bad_tokens_are_unauthenticated(token: str) -> None:
    """A token that is malformed or unknown is UNAUTHENTICATED."""
    accounts, _ = make(ANN)
    with pytest.raises(ServiceError) as caught:
        await accounts.resolve_session(token)
    assert (caught.value.code, caught.value.reason) == (Code.UNAUTHENTICATED, "SESSION_INVALID")
