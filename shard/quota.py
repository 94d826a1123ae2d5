"""Quota: the loop that keeps a ``TokenLease`` supplied from one node of the cache tier.

The policy decides when to ask and for what; this adapter sends the question, hands back the answer
or its absence, and never stands in a request's way: requests ask the policy alone. A group's count
lives on one node, the owner of its key on the same ring as all cache keys; when that node is away,
so is the count, and every client holds to its local share. No other node takes over: two that each
believed to be the owner would give the quota twice.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from hashing.bounded import BoundedRing
from resilience.policy.lease import LeaseRequest
from resilience.policy.token_lease import RETRY_S, TokenLease
from shard.connection import Limits
from shard.link import Dial, Link, directly
from shard.policy.attempt import Failure
from shard.policy.topology import Address
from shard.quota_script import KEY_PREFIX, LeaseCall, parse_grant
from shard.resp import Answer, ReplyError

DEFAULT_TIMEOUT_S = 0.05  # the cache's; half of the shortest round
_RUN_BYTES = 4  # tells the lives of a node apart


class QuotaObserver(Protocol):
    """Hear of what the loop did; quick, never blocking, never raising."""

    def on_trip(self, group: str, result: str, duration_s: float) -> None:
        """Note a question's end: ``granted``, ``failed`` (no answer) or ``wrong``."""


class SilentQuotaObserver:
    """Hear and forget: the default."""

    __slots__ = ()

    def on_trip(self, group: str, result: str, duration_s: float) -> None:
        """Do nothing."""


SILENT_QUOTA = SilentQuotaObserver()


class QuotaClient:
    """Supplies one lease; ``start`` first, ``close`` last, from one event loop.

    Args:
        nodes: (host, port) of the cache's nodes, in the same order for every client.
        group: Whose quota; all who share it use one name and one ``quota_rps``.
        lease: The policy, which requests ask.
        name: Of this node, for people; what tells its lives apart is added.
        timeout_s: For one question, seconds, > 0.
        observer: Hears of each question's end.
        dial: Says where to connect for a node's address; see ``redial``.
        rng: Jitter of reconnects.
        clock: Monotonic seconds, the one that requests are admitted by.

    Raises:
        ValueError: When there is no node, or the timeout isn't above 0.
    """

    def __init__(
        self,
        nodes: Sequence[tuple[str, int]],
        group: str,
        lease: TokenLease,
        *,
        name: str = "node",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        observer: QuotaObserver = SILENT_QUOTA,
        dial: Dial = directly,
        rng: Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not nodes:
            raise ValueError("no cache nodes: give the address of at least one")
        if not timeout_s > 0.0:
            raise ValueError(f"timeout_s={timeout_s} must be above 0")
        names = [f"cache-{number}" for number in range(1, len(nodes) + 1)]
        self.group = group
        self.lease = lease
        self.owner = BoundedRing(names).candidates((KEY_PREFIX + group).encode())[0]
        self._node = f"{name}:{secrets.token_hex(_RUN_BYTES)}"
        self._timeout_s = timeout_s
        self._observer = observer
        self._clock = clock
        address = Address(*nodes[names.index(self.owner)])
        limits = Limits(connect_timeout_s=timeout_s * 4.0, reply_timeout_s=timeout_s * 4.0)
        self._link = Link(address, limits, rng or Random(), dial=dial, clock=clock)
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<QuotaClient {self.group} on {self.owner}, {self.lease!r}>"

    async def start(self) -> None:
        """Ask once, so that a healthy store is known from the first request on; then go on."""
        if self._task is None:
            await self._ask_if_due()
            self._task = asyncio.get_running_loop().create_task(self._go_on())

    async def close(self) -> None:
        """End the questions and the connection; what is leased runs out on its own."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._link.close()

    def redial(self) -> None:
        """Connect anew, by the way that ``dial`` says now."""
        self._link.redial()

    async def _go_on(self) -> None:
        while True:
            pause_s = self.lease.next_wants_s() - self._clock()
            await asyncio.sleep(max(0.001, min(RETRY_S, pause_s)))
            await self._ask_if_due()

    async def _ask_if_due(self) -> None:
        began_s = self._clock()
        request = self.lease.wants(began_s)
        if request is None:
            return
        grant = parse_grant(await self._ask(request, began_s), request.sequence)
        now_s = self._clock()
        if grant is None:
            self.lease.on_store_failure(now_s)
            result = "failed"
        else:
            result = "granted" if self.lease.on_grant(grant, now_s) else "wrong"
        self._observer.on_trip(self.group, result, now_s - began_s)

    async def _ask(self, request: LeaseRequest, began_s: float) -> Answer:
        until_s = began_s + self._timeout_s
        connection = self._link.connection or await self._link.open(self._timeout_s)
        if connection is None:
            return Failure.DOWN
        call = LeaseCall(self.group, self._node, self.lease.quota_rps, request)
        answer = await connection.send(call.by_digest(), until_s)
        if isinstance(answer, ReplyError) and answer.kind == "NOSCRIPT":
            answer = await connection.send(call.by_source(), until_s)
        return answer
