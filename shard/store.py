"""The store's client: commands to the node that owns their key, through failovers and slot moves.

A read ends with its reply or a ServiceError; a write ends with a WriteResult that says what is
known of it, and never raises for what happens on the wire. Everything happens within the deadline:
the caller's, else that of the current Context, else one second.
Source: design: two durabilities, three results; the promise and its limits are in docs/shard.md.
Commands of several keys go to the slots of all (``shard.multi_key``).
Not handled: weighing replicas by their lag or their distance.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from random import Random
from weakref import WeakSet

from hashing.slots import slot_of
from shard.commit import DEFAULT_WAIT_TIMEOUT_S
from shard.connection import Limits
from shard.executor import Executor
from shard.greeting import PLAINLY, Greeting
from shard.hot_keys import HotKeys
from shard.link import Dial, directly
from shard.many_keys import ManyKeys
from shard.multi_key import SplitResult, run_split
from shard.nodes import Nodes
from shard.observer import SILENT, StoreFaults, StoreObserver
from shard.operation import Operation
from shard.policy.attempt import Reads, Work
from shard.policy.durability import Durability, WriteStatus
from shard.policy.topology import Address, Topology
from shard.refresh import TopologyKeeper
from shard.resp import Argument, Reply, pack
from shard.result import WriteResult
from shard.routing import SIMPLE, key_of
from shard.runner import Runner
from shard.script import Script
from shard.sessions import Sessions
from shard.subscription import Gap, Message, Subscription
from shard.watch import Watched

__all__ = [
    "Durability",
    "Gap",
    "Message",
    "Reads",
    "Reply",
    "Script",
    "SplitResult",
    "StoreClient",
    "Subscription",
    "Watched",
    "WriteResult",
    "WriteStatus",
]

DEFAULT_OPERATION_TIMEOUT_S = 1.0  # kratos: server timeout 1 s; the default of every route here
DEFAULT_MAX_OPERATIONS = 4096  # commands under way at once, those waiting for a failover included
CONNECT_PAUSE_S = 0.05
# Members of enumerations, which cost a descriptor each time they are looked up in their class.
_READ, _WRITE, _PRIMARY, _LOCAL = Work.READ, Work.WRITE, Reads.PRIMARY, Durability.LOCAL
_DONE = WriteStatus.ACKNOWLEDGED
_NO_ENTRY = ("WRONGPASS", "NOAUTH", "NOPERM")


class StoreClient(ManyKeys, Sessions):
    """A client of one cluster; ``connect`` first, ``close`` last, from one event loop.

    Args:
        seeds: Nodes to ask first, (host, port); at least one.
        limits: Of each connection.
        operation_timeout_s: For a command without any other deadline, seconds, > 0.
        wait_timeout_s: How long a REPLICATED write waits for its replica, seconds; below
            ``limits.reply_timeout_s``.
        max_operations: Commands under way at once, > 0; beyond, STORE_OVERLOADED.
        observer: Hears of operations, connections and topologies.
        faults: Asked before each command when given.
        dial: Says where to connect for a node's address; see ``redial``.
        greeting: User, password, RESP version and TLS of every connection.
        rng: Jitter; seed it for tests.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        seeds: Sequence[tuple[str, int]],
        *,
        limits: Limits | None = None,
        operation_timeout_s: float = DEFAULT_OPERATION_TIMEOUT_S,
        wait_timeout_s: float = DEFAULT_WAIT_TIMEOUT_S,
        max_operations: int = DEFAULT_MAX_OPERATIONS,
        observer: StoreObserver = SILENT,
        faults: StoreFaults | None = None,
        dial: Dial = directly,
        greeting: Greeting = PLAINLY,
        rng: Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not seeds:
            raise ValueError("no seeds: give the address of at least one store node")
        self._rng = rng or Random()
        self.hot_keys = HotKeys(self._rng, clock)
        self._operation_timeout_s = operation_timeout_s
        self._wait_timeout_s = wait_timeout_s
        self._subscriptions = WeakSet()
        self._nodes = Nodes(
            limits or Limits(), self._rng, observer, wait_timeout_s, clock, dial, greeting
        )
        self._keeper = TopologyKeeper(
            [Address(*seed) for seed in seeds],
            self._nodes,
            self._rng,
            observer=observer,
            clock=clock,
        )
        self._executor = Executor(self._nodes, self._keeper, faults, self._rng, clock)
        self._runner = Runner(self._executor, observer, operation_timeout_s, max_operations, clock)

    def __repr__(self) -> str:
        primaries = ", ".join(map(str, self.topology.primaries))
        return f"<StoreClient {primaries or 'not connected'}>"

    @property
    def topology(self) -> Topology:
        """What is believed of the cluster now."""
        return self._keeper.topology

    async def connect(self) -> None:
        """Learn the topology; tries until the cluster answers, so bound it with a timeout.

        Raises:
            PermissionError: A node refuses the user or the password.
            ValueError: A node isn't part of any cluster. Waiting mends neither.
        """
        while not self.topology.primaries:
            await self._keeper.refresh(self._operation_timeout_s)
            if not self.topology.primaries:
                _require_entry(self._keeper.rebuff)
                await asyncio.sleep(CONNECT_PAUSE_S)

    async def close(self) -> None:
        """End every connection and subscription; commands under way end as after a loss."""
        for subscription in list(self._subscriptions):
            subscription.close()
        await self._keeper.close()
        await self._nodes.close()

    def redial(self) -> None:
        """Connect anew where ``dial`` has changed its mind; call it each time it may have.

        No command fails for it: those on their way are answered on the old connection.
        """
        self._nodes.redial()

    async def read(
        self,
        *command: Argument,
        reads: Reads = _PRIMARY,
        deadline_s: float | None = None,
    ) -> Reply:
        """Send one reading command to the primary of its keys, or by choice to a replica.

        Args:
            command: Such as ``"GET", "video:1"``; MGET, EXISTS and TOUCH over any keys.
            reads: REPLICA and ANY may answer what was true a while ago; see docs/shard/client.md.
            deadline_s: Absolute monotonic seconds; None means the Context's, else one second.

        Raises:
            ServiceError: STORE_UNAVAILABLE, STORE_OVERLOADED (503), STORE_TIMEOUT (504) or
                STORE_ERROR (500, the command itself is wrong).
            ValueError: No key, keys of several slots (named), or a command that would hold the
                connection.
        """
        self._see(command)
        if reads is _PRIMARY and command and command[0] in SIMPLE:
            reply = await self._runner.quick(_READ, command, deadline_s)
            return reply.raise_for_status() if isinstance(reply, WriteResult) else reply
        done = await self._carry_out(Work.READ, command, Durability.LOCAL, deadline_s, reads)
        return done.raise_for_status()

    async def read_many(
        self, commands: Sequence[Sequence[Argument]], deadline_s: float | None = None
    ) -> list[Reply]:
        """Send reading commands of one key at once, each to its primary; replies in their order.

        Raises:
            ServiceError: As ``read``, when any of them fails.
        """
        for each in commands:
            self._see(each)
        operations = [self._operation(Work.READ, tuple(each), deadline_s) for each in commands]
        return [each.raise_for_status() for each in await self._runner.run_all(operations)]

    async def write(
        self,
        *command: Argument,
        durability: Durability = Durability.LOCAL,
        deadline_s: float | None = None,
    ) -> WriteResult:
        """Send one writing command to the primary of its keys; MSET, DEL and UNLINK over any keys.

        Raises:
            ValueError: As ``read``.
        """
        self._see(command)
        if durability is _LOCAL and command and command[0] in SIMPLE:
            reply = await self._runner.quick(_WRITE, command, deadline_s)
            return reply if isinstance(reply, WriteResult) else WriteResult(_DONE, reply)
        return await self._carry_out(Work.WRITE, command, durability, deadline_s)

    async def eval(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument],
        *,
        durability: Durability = Durability.LOCAL,
        deadline_s: float | None = None,
    ) -> WriteResult:
        """Run a script where its keys live, by its digest, by its source where that is unknown.

        Raises:
            ValueError: When there is no key, or the keys are of different slots.
        """
        slots = {slot_of(key.encode()) for key in keys}
        if len(slots) != 1:
            raise ValueError(f"a script needs keys of one slot: {', '.join(keys) or 'none given'}")
        self.hot_keys.see(keys[0])
        tail = (len(keys), *keys, *args)
        operation = Operation(
            Work.SCRIPT,
            slots.pop(),
            pack(("EVALSHA", script.sha, *tail)),
            self._runner.deadline(deadline_s),
            durability,
            on_unknown_script=pack(("EVAL", script.source, *tail)),
        )
        return await self._runner.run(operation)

    def snapshot(self) -> dict[str, int]:
        """Return counts for a page or a metric."""
        return {
            "primaries": len(self.topology.primaries),
            "slots_unowned": self.topology.unowned,
            "under_way": self._runner.under_way,
            "retries": self._executor.retry_count,
            "replica_fallbacks": self._executor.fallback_count,
            "topology_refreshes": self._keeper.refresh_count,
            "moved": self._keeper.moved_count,
            **self._nodes.snapshot(),
        }

    def owner(self, key: str) -> str:
        """Name the node that has a key's slot, ``host:port``; "" while nobody has it."""
        found = self.topology.owners[slot_of(key.encode())]
        return "" if found is None else str(found)

    def _see(self, command: Sequence[Argument]) -> None:
        """Count a command's key, the first of several."""
        if len(command) > 1:
            self.hot_keys.see(command[1])

    async def _carry_out(
        self,
        work: Work,
        command: tuple[Argument, ...],
        durability: Durability,
        deadline_s: float | None,
        reads: Reads = Reads.PRIMARY,
    ) -> WriteResult:
        if command and command[0] in SIMPLE:
            operation = self._operation(work, command, deadline_s, durability, reads)
            return await self._runner.run(operation)
        done = await run_split(self._runner, work, command, durability, deadline_s, reads)
        return done.whole

    def _operation(
        self,
        work: Work,
        command: tuple[Argument, ...],
        deadline_s: float | None,
        durability: Durability = Durability.LOCAL,
        reads: Reads = Reads.PRIMARY,
    ) -> Operation:
        slot, until_s = slot_of(key_of(command)), self._runner.deadline(deadline_s)
        return Operation(work, slot, pack(command), until_s, durability, reads=reads)


def _require_entry(rebuff: str | None) -> None:
    """Raise when waiting wouldn't mend what a node answered."""
    if rebuff is None:
        return
    if any(word in rebuff for word in _NO_ENTRY):
        raise PermissionError(f"store node {rebuff}: give the client a Greeting(user=, password=)")
    if "cluster support disabled" in rebuff:
        raise ValueError(f"store node {rebuff}: start it with --cluster-enabled yes")
