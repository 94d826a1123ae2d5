"""Accounts in a dictionary."""

from collections.abc import Sequence

from services.account.data import LAST_SEEDED_ID, AccountRecord


class MemoryAccounts:
    """An AccountRepository without a store."""

    def __init__(self, *accounts: AccountRecord) -> None:
        self.accounts = {each.id: each for each in accounts}
        self.sessions: dict[str, tuple[AccountRecord, int]] = {}

    async def find(self, account_id: int) -> AccountRecord | None:
        """Look the id up."""
        return self.accounts.get(account_id)

    async def find_many(self, account_ids: Sequence[int]) -> list[AccountRecord]:
        """Look the ids up, in the order asked."""
        return [self.accounts[each] for each in account_ids if each in self.accounts]

    async def find_by_name(self, name: str) -> AccountRecord | None:
        """Search the name."""
        return next((each for each in self.accounts.values() if each.name == name), None)

    async def add(self, name: str, created_unix_s: int) -> AccountRecord:
        """Make an account with the next id."""
        account = AccountRecord(LAST_SEEDED_ID + len(self.accounts) + 1, name, created_unix_s)
        return self.accounts.setdefault(account.id, account)

    async def keep_session(self, token: str, account: AccountRecord, ttl_s: int) -> None:
        """Keep the session; it never ends."""
        self.sessions[token] = (account, ttl_s)

    async def find_session(self, token: str) -> tuple[AccountRecord, int] | None:
        """Look the token up."""
        return self.sessions.get(token)
