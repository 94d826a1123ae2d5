"""What one can do with accounts: look them up, open a session, ask whose a token is.

Opening a session by name alone is right for a lab without secrets: whoever names an account gets
in. Not handled: passwords, revoking a session before it ends.
"""

import re
import secrets
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from resilience.errors import Code, ServiceError
from services.account.data import AccountRecord, AccountRepository
from services.checks import check_batch

ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
ACCOUNT_NAME_INVALID = "ACCOUNT_NAME_INVALID"
SESSION_INVALID = "SESSION_INVALID"

SESSION_TTL_S = 24 * 3600  # a day, as an ordinary web session
TOKEN_HEX_DIGITS = 32  # 128 random bits, OWASP's minimum is 64

_NAME = re.compile(r"[a-z0-9_]{3,32}", re.ASCII)
_TOKEN = re.compile(rf"[0-9a-f]{{{TOKEN_HEX_DIGITS}}}", re.ASCII)


class OpenSession(NamedTuple):
    """An open session; its token is kept nowhere but with the client."""

    token: str
    account: AccountRecord
    expires_in_s: int


def new_token() -> str:
    """Make a session token of 32 hex digits."""
    return secrets.token_hex(TOKEN_HEX_DIGITS // 2)


class Accounts:
    """The account service's use cases.

    Args:
        repository: Where accounts are kept.
        clock: Wall clock, seconds since the epoch.
        make_token: Makes an unguessable token of 32 hex digits.
    """

    def __init__(
        self,
        repository: AccountRepository,
        clock: Callable[[], float] = time.time,
        make_token: Callable[[], str] = new_token,
    ) -> None:
        self._repository = repository
        self._clock = clock
        self._make_token = make_token

    async def get(self, account_id: int) -> AccountRecord:
        """Return one account.

        Raises:
            ServiceError: ``ACCOUNT_NOT_FOUND``.
        """
        account = await self._repository.find(account_id) if account_id >= 1 else None
        if account is None:
            raise ServiceError(
                Code.NOT_FOUND, ACCOUNT_NOT_FOUND, f"there is no account {account_id}"
            )
        return account

    async def get_many(self, account_ids: Sequence[int]) -> list[AccountRecord]:
        """Return the accounts found, in the order asked; those that don't exist are left out.

        Raises:
            ServiceError: ``TOO_MANY_IDS`` above 100.
        """
        check_batch(account_ids)
        wanted = [each for each in account_ids if each >= 1]
        return await self._repository.find_many(wanted) if wanted else []

    async def open_session(self, name: str) -> OpenSession:
        """Open a session for the account of that name; make the account when there is none.

        Raises:
            ServiceError: ``ACCOUNT_NAME_INVALID``.
        """
        if not _NAME.fullmatch(name):
            raise ServiceError(
                Code.INVALID_ARGUMENT,
                ACCOUNT_NAME_INVALID,
                "a name has 3 to 32 characters, each of a to z, 0 to 9 and _",
            )
        account = await self._repository.find_by_name(name)
        if account is None:
            account = await self._repository.add(name, int(self._clock()))
        token = self._make_token()
        await self._repository.keep_session(token, account, SESSION_TTL_S)
        return OpenSession(token, account, SESSION_TTL_S)

    async def resolve_session(self, token: str) -> OpenSession:
        """Say whose a token is.

        Raises:
            ServiceError: ``SESSION_INVALID`` when malformed, unknown or expired.
        """
        found = await self._repository.find_session(token) if _TOKEN.fullmatch(token) else None
        if found is None:
            raise ServiceError(
                Code.UNAUTHENTICATED,
                SESSION_INVALID,
                "the token is unknown or has expired: open a session first",
            )
        account, expires_in_s = found
        return OpenSession(token, account, expires_in_s)
