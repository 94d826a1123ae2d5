"""The store's client: commands to the node that owns their key, through failovers and slot moves.

A read ends with its reply or a ServiceError; a write ends with a WriteResult that says what is
known of it, and never raises for what happens on the wire. Everything happens within the deadline:
the caller's, else that of the current Context, else one second.
Source: design: two durabilities, three results; the promise and its limits are in docs/shard.md.
Not handled: commands over several slots (split them), transactions, reads from replicas, AUTH.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from hashing.slots import slot_of
from resilience import context
from shard.commit import DEFAULT_WAIT_TIMEOUT_S
from shard.connection import Limits
from shard.executor import Executor
from shard.greeting import PLAINLY, Greeting
from shard.link import Dial, directly
from shard.nodes import Nodes
from shard.observer import SILENT, StoreFaults, StoreObserver
from shard.operation import Operation
from shard.policy.attempt import Failure, Work
from shard.policy.durability import STORE_OVERLOADED, Durability, WriteStatus
from shard.policy.topology import Address, Topology
from shard.refresh import TopologyKeeper
from shard.resp import Answer, Argument, Reply, is_plain, pack
from shard.result import WriteResult
from shard.script import Script

__all__ = [
    "Durability",
    "Reply",
    "Script",
    "StoreClient",
    "WriteResult",
    "WriteStatus",
]

DEFAULT_OPERATION_TIMEOUT_S = 1.0  # kratos: server timeout 1 s; the default of every route here
DEFAULT_MAX_OPERATIONS = 4096  # commands under way at once, those waiting for a failover included
CONNECT_PAUSE_S = 0.05
_NO_ENTRY = ("WRONGPASS", "NOAUTH", "NOPERM")


class StoreClient:
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
        self._clock = clock
        self._observer = observer
        self._operation_timeout_s = operation_timeout_s
        self._max_operations = max_operations
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
        self._under_way = 0

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
        """End every connection; commands under way end as they would after a loss."""
        await self._keeper.close()
        await self._nodes.close()

    def redial(self) -> None:
        """Connect anew where ``dial`` has changed its mind; call it each time it may have.

        No command fails for it: those on their way are answered on the old connection.
        """
        self._nodes.redial()

    async def read(self, *command: Argument, deadline_s: float | None = None) -> Reply:
        """Send one reading command to the primary of its key, the second element.

        Args:
            command: Such as ``"GET", "video:1"``.
            deadline_s: Absolute monotonic seconds; None means the Context's, else one second.

        Raises:
            ServiceError: STORE_UNAVAILABLE, STORE_OVERLOADED (503), STORE_TIMEOUT (504) or
                STORE_ERROR (500, the command itself is wrong).
        """
        operation = self._operation(Work.READ, command, deadline_s)
        return (await self._run(operation)).raise_for_status()

    async def read_many(
        self, commands: Sequence[Sequence[Argument]], deadline_s: float | None = None
    ) -> list[Reply]:
        """Send reading commands at once, each to its own key's primary; replies in their order.

        Raises:
            ServiceError: As ``read``, when any of them fails.
        """
        began_s = self._clock()
        operations = [self._operation(Work.READ, tuple(each), deadline_s) for each in commands]
        futures = [self._executor.send_now(each) for each in operations]
        replies: list[Reply] = []
        for operation, future in zip(operations, futures, strict=True):
            answer: Answer = Failure.DOWN if future is None else await future
            if is_plain(answer):
                self._observer.on_operation(operation.name, "ok", self._clock() - began_s)
            else:
                answer = (await self._run(operation)).raise_for_status()
            replies.append(answer)
        return replies

    async def write(
        self,
        *command: Argument,
        durability: Durability = Durability.LOCAL,
        deadline_s: float | None = None,
    ) -> WriteResult:
        """Send one writing command to the primary of its key, the second element."""
        operation = self._operation(Work.WRITE, command, deadline_s)
        return await self._run(replace(operation, durability=durability))

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
        tail = (len(keys), *keys, *args)
        operation = Operation(
            Work.SCRIPT,
            slots.pop(),
            pack(("EVALSHA", script.sha, *tail)),
            self._deadline(deadline_s),
            durability,
            on_unknown_script=pack(("EVAL", script.source, *tail)),
        )
        return await self._run(operation)

    def snapshot(self) -> dict[str, int]:
        """Return counts for a page or a metric."""
        return {
            "primaries": len(self.topology.primaries),
            "slots_unowned": self.topology.unowned,
            "under_way": self._under_way,
            "retries": self._executor.retry_count,
            "topology_refreshes": self._keeper.refresh_count,
            "moved": self._keeper.moved_count,
            **self._nodes.snapshot(),
        }

    def _operation(
        self, work: Work, command: tuple[Argument, ...], deadline_s: float | None
    ) -> Operation:
        if len(command) < 2:
            raise ValueError(f"no key in {command!r}: the key is a command's second element")
        key = command[1]
        raw = key if isinstance(key, bytes) else str(key).encode()
        return Operation(work, slot_of(raw), pack(command), self._deadline(deadline_s))

    def _deadline(self, deadline_s: float | None) -> float:
        if deadline_s is not None:
            return deadline_s
        current = context.current()
        if current is not None and current.deadline_s is not None:
            return current.deadline_s
        return self._clock() + self._operation_timeout_s

    async def _run(self, operation: Operation) -> WriteResult:
        """Bound, execute and report one operation."""
        began_s = self._clock()
        if self._under_way >= self._max_operations:
            result = WriteResult(
                WriteStatus.REFUSED, None, STORE_OVERLOADED, "too many commands under way"
            )
        else:
            self._under_way += 1
            try:
                result = await self._executor.execute(operation)
            finally:
                self._under_way -= 1
        ended_s = self._clock()
        self._observer.on_operation(operation.name, operation.judge(result), ended_s - began_s)
        if result.reason is not None:
            self._executor.note(result.status.value, reason=result.reason)
        return result


def _require_entry(rebuff: str | None) -> None:
    """Raise when waiting wouldn't mend what a node answered."""
    if rebuff is None:
        return
    if any(word in rebuff for word in _NO_ENTRY):
        raise PermissionError(f"store node {rebuff}: give the client a Greeting(user=, password=)")
    if "cluster support disabled" in rebuff:
        raise ValueError(f"store node {rebuff}: start it with --cluster-enabled yes")
