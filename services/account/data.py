"""Accounts and sessions: what is kept, under which keys, and the store that keeps it.

Keys (one slot each; nothing here needs two keys at once):

- ``account:ids``            counter; an account made by someone gets 1,000,000 + its next value
- ``account:{id}``           JSON of the account
- ``account-name:{name}``    id; written last, so that it never points at nothing
- ``session:{sha256}``       JSON of the account, with a time to live; the key is the token's hash,
  so that who reads the store can't use the sessions in it

Ids below 1,000,001 belong to the seeded data set. All writes are REPLICATED: an account that was
acknowledged survives the loss of a node.
Not handled: renaming, deletion; two requests that make the same name at once leave the loser's
record behind, unreachable and harmless.
"""

import hashlib
from collections.abc import Sequence
from typing import Protocol

import msgspec

from shard.store import Durability, StoreClient

IDS_KEY = "account:ids"
LAST_SEEDED_ID = 1_000_000  # twenty times the accounts of `seed --size full`


class AccountRecord(msgspec.Struct, frozen=True):
    """One account as it is kept.

    Args:
        id: At least 1, unique, never reused.
        name: 3 to 32 of ``[a-z0-9_]``, unique.
        created_unix_s: When it was made, wall clock.
    """

    id: int
    name: str
    created_unix_s: int


class AccountRepository(Protocol):
    """Where accounts and sessions are kept. Every method may raise ``STORE_UNAVAILABLE``."""

    async def find(self, account_id: int) -> AccountRecord | None:
        """Return the account, or None when there is none of that id."""

    async def find_many(self, account_ids: Sequence[int]) -> list[AccountRecord]:
        """Return the accounts found, in the order asked."""

    async def find_by_name(self, name: str) -> AccountRecord | None:
        """Return the account of that name, or None."""

    async def add(self, name: str, created_unix_s: int) -> AccountRecord:
        """Make an account; when somebody made the name meanwhile, return theirs."""

    async def keep_session(self, token: str, account: AccountRecord, ttl_s: int) -> None:
        """Keep who a token belongs to, for that many seconds."""

    async def find_session(self, token: str) -> tuple[AccountRecord, int] | None:
        """Return whose token it is and the seconds it lasts, or None when unknown or expired."""


def account_key(account_id: int) -> str:
    """Name the key of an account's record."""
    return f"account:{account_id}"


def name_key(name: str) -> str:
    """Name the key that leads from a name to an id."""
    return f"account-name:{name}"


def session_key(token: str) -> str:
    """Name the key of a session; the token itself isn't in it."""
    return f"session:{hashlib.sha256(token.encode()).hexdigest()}"


def encode_account(account: AccountRecord) -> bytes:
    """Make the stored form of an account."""
    return msgspec.json.encode(account)


def decode_account(stored: bytes) -> AccountRecord:
    """Read an account back."""
    return _decoder.decode(stored)


class StoreAccounts:
    """Accounts in the sharded store."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def find(self, account_id: int) -> AccountRecord | None:
        """Read one record."""
        return _optional(await self._store.read("GET", account_key(account_id)))

    async def find_many(self, account_ids: Sequence[int]) -> list[AccountRecord]:
        """Read the records in one pipelined turn, whichever nodes they are on."""
        stored = await self._store.read_many([("GET", account_key(each)) for each in account_ids])
        return [account for account in map(_optional, stored) if account is not None]

    async def find_by_name(self, name: str) -> AccountRecord | None:
        """Follow the name's index to the record."""
        account_id = await self._store.read("GET", name_key(name))
        if account_id is None:
            return None
        assert isinstance(account_id, bytes)
        return await self.find(int(account_id))

    async def add(self, name: str, created_unix_s: int) -> AccountRecord:
        """Take an id, write the record, then the name; the name's first writer wins."""
        number = await self._write("INCR", IDS_KEY)
        assert isinstance(number, int)
        account = AccountRecord(LAST_SEEDED_ID + number, name, created_unix_s)
        await self._write("SET", account_key(account.id), encode_account(account))
        winner = await self._write("SET", name_key(name), account.id, "NX", "GET")
        if winner is None:
            return account
        assert isinstance(winner, bytes)
        return await self.find(int(winner)) or account

    async def keep_session(self, token: str, account: AccountRecord, ttl_s: int) -> None:
        """Write the session with its time to live."""
        await self._write("SET", session_key(token), encode_account(account), "EX", ttl_s)

    async def find_session(self, token: str) -> tuple[AccountRecord, int] | None:
        """Read the session of a token and how long it lasts, in one turn."""
        key = session_key(token)
        stored, ttl_s = await self._store.read_many([("GET", key), ("TTL", key)])
        account = _optional(stored)
        return (account, max(0, ttl_s)) if account and isinstance(ttl_s, int) else None

    async def _write(self, *command: str | bytes | int) -> object:
        result = await self._store.write(*command, durability=Durability.REPLICATED)
        return result.raise_for_status()


_decoder = msgspec.json.Decoder(AccountRecord)


def _optional(stored: object) -> AccountRecord | None:
    return decode_account(stored) if isinstance(stored, bytes) else None
