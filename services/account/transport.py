"""The account service on gRPC: messages in, use cases, messages out; it decides nothing."""

from api.account.v1 import account_pb2 as pb
from api.account.v1 import account_pb2_grpc as pb_grpc
from services.account.data import AccountRecord
from services.account.usecases import Accounts, OpenSession


class AccountServicer(pb_grpc.AccountServiceServicer):
    """Translate between ``account.v1`` and the use cases."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def GetAccount(self, request: pb.GetAccountRequest, context: object) -> pb.Account:
        """Return one account."""
        return _account(await self._accounts.get(request.id))

    async def BatchGetAccounts(
        self, request: pb.BatchGetAccountsRequest, context: object
    ) -> pb.BatchGetAccountsResponse:
        """Return the accounts found, in the order asked."""
        found = await self._accounts.get_many(request.ids)
        return pb.BatchGetAccountsResponse(accounts=map(_account, found))

    async def OpenSession(self, request: pb.OpenSessionRequest, context: object) -> pb.Session:
        """Open a session by name."""
        return _session(await self._accounts.open_session(request.name))

    async def ResolveSession(
        self, request: pb.ResolveSessionRequest, context: object
    ) -> pb.Session:
        """Say whose a token is."""
        return _session(await self._accounts.resolve_session(request.token))


def _account(account: AccountRecord) -> pb.Account:
    return pb.Account(id=account.id, name=account.name, created_unix_s=account.created_unix_s)


def _session(session: OpenSession) -> pb.Session:
    return pb.Session(
        token=session.token, account=_account(session.account), expires_in_s=session.expires_in_s
    )
