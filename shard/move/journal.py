"""What a move needs to be gone on with, in the store itself: plan, who moves, a word to stop.

Keys of one slot, written REPLICATED; the plan stays until it is carried out or cancelled. How
far it has come is not here: the nodes say it (``shard.policy.slot_move``). In the store, since the
mover may run anywhere, in a container that is gone tomorrow, and always reaches the store.
Not handled: a mover that sleeps longer than its lease and wakes between two commands of one slot;
it finds out before the next slot.
"""

import os
import socket
import time
from uuid import uuid4

from resilience.errors import ServiceError
from shard.move.node import NodeTrouble
from shard.policy.durability import Durability, WriteStatus
from shard.policy.plan import Plan
from shard.policy.plan_file import from_text, to_text
from shard.resp import Argument, Reply
from shard.result import WriteResult
from shard.store import StoreClient

LEASE_MS = 5000  # as long as a failover of the lease's own shard may take, with a margin
RENEW_S = 1.0
TRY_FOR_S = (
    15.0  # a node that restarts is back after 3 s (deploy/store-node.sh), in step soon after
)
PLAN, WANTED, LEASE, STOP = (
    f"{{squall:move}}:{name}" for name in ("plan", "wanted", "lease", "stop")
)

_RENEW = (
    "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('PEXPIRE',KEYS[1],ARGV[2]) end "
    "return redis.call('SET',KEYS[1],ARGV[1],'NX','PX',ARGV[2]) and 1 or 0"
)
_RELEASE = (
    "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0"
)


class Taken(NodeTrouble):
    """Another mover is at work; the message names it and says since when."""


class Journal:
    """The plan and the lease.

    Args:
        store: Connected.
    """

    def __init__(self, store: StoreClient) -> None:
        self._store = store
        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._me = f"{socket.gethostname()} process {os.getpid()} since {began} {uuid4().hex[:8]}"
        self._renewed_s = float("-inf")
        self._heard_s = float("-inf")

    async def plan(self) -> Plan | None:
        """Return the plan under way, None when there is none.

        Raises:
            PlanRefused: It is of another version.
            NodeTrouble: The store doesn't answer.
        """
        text = await self._read(PLAN)
        return from_text(text.decode()) if isinstance(text, bytes) else None

    async def wanted(self) -> str:
        """Return what ``begin`` was told the plan under way is for.

        Raises:
            NodeTrouble: The store doesn't answer.
        """
        text = await self._read(WANTED)
        return text.decode() if isinstance(text, bytes) else ""

    async def begin(self, plan: Plan, wanted: str = "") -> None:
        """Write a new plan down; take the lease first.

        Args:
            plan: What moves.
            wanted: What for: who wants the same again may go on with it.
        """
        await self._write("DEL", STOP)
        await self._write("SET", WANTED, wanted)
        await self._write("SET", PLAN, to_text(plan))

    async def end(self) -> None:
        """Forget the plan."""
        await self._write("DEL", PLAN, WANTED, STOP)

    async def take(self) -> None:
        """Take the lease, or keep it; asks the store once a second at most.

        Raises:
            Taken: Somebody else has it.
            NodeTrouble: The store doesn't answer.
        """
        now_s = time.monotonic()
        if now_s - self._renewed_s < RENEW_S:
            return
        done = await self._write("EVAL", _RENEW, 1, LEASE, self._me, LEASE_MS)
        if done.value != 1:
            raise Taken(f"another mover is at work: {await self.holder()}")
        self._renewed_s = now_s

    async def release(self) -> None:
        """Give the lease back."""
        self._renewed_s = float("-inf")
        await self._write("EVAL", _RELEASE, 1, LEASE, self._me)

    async def holder(self) -> str | None:
        """Say who moves and since when; None when nobody does."""
        value = await self._read(LEASE)
        return value.decode().rpartition(" ")[0] if isinstance(value, bytes) else None

    async def ask_to_stop(self) -> None:
        """Have the mover at work cancel."""
        await self._write("SET", STOP, "1")

    async def is_asked_to_stop(self) -> bool:
        """Whether somebody cancelled; asks the store once a second at most."""
        now_s = time.monotonic()
        if now_s - self._heard_s < RENEW_S:
            return False
        self._heard_s = now_s
        return await self._read(STOP) is not None

    async def _read(self, key: str) -> Reply:
        """Repeat a read until the store answers."""
        limit_s = time.monotonic() + TRY_FOR_S
        while True:
            try:
                return await self._store.read("GET", key)
            except ServiceError as error:
                if time.monotonic() > limit_s:
                    raise NodeTrouble(f"the move can't be looked up: {error}") from error

    async def _write(self, *command: Argument) -> WriteResult:
        """Repeat a write until it is acknowledged: each of them may be done twice."""
        limit_s = time.monotonic() + TRY_FOR_S
        while True:
            done = await self._store.write(*command, durability=Durability.REPLICATED)
            if done.status is WriteStatus.ACKNOWLEDGED:
                return done
            if time.monotonic() > limit_s:
                raise NodeTrouble(f"the move can't be written down: {done.message}")
