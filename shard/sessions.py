"""The store client's methods that take a block of commands, or a connection of their own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from weakref import WeakSet

from shard.blocking import blocking
from shard.nodes import Nodes
from shard.operation import Operation
from shard.own import OwnConnection
from shard.policy.attempt import Work
from shard.policy.durability import Durability
from shard.refresh import TopologyKeeper
from shard.resp import Argument, pack
from shard.result import WriteResult
from shard.runner import Runner
from shard.subscription import Subscription
from shard.transaction import EXEC, leaders_of, slot_of_all
from shard.watch import Watched, forget_watch, slot_of_keys


class Sessions:
    """Transactions, watches, what waits, subscriptions; ``StoreClient`` inherits it."""

    _keeper: TopologyKeeper
    _nodes: Nodes
    _runner: Runner
    _subscriptions: WeakSet[Subscription]
    _wait_timeout_s: float

    async def transaction(
        self,
        *commands: Sequence[Argument],
        durability: Durability = Durability.LOCAL,
        deadline_s: float | None = None,
    ) -> WriteResult:
        """Run commands as one block, MULTI to EXEC, where their keys live; all or none begin.

        Args:
            commands: Such as ``("INCR", "{a}n"), ("SET", "{a}s", 1)``, all of one slot.
            durability: What it takes to acknowledge it.
            deadline_s: As ``read``.

        Returns:
            The value is the list of replies; a ``ReplyError`` among them is a command that failed
            while the others were executed.

        Raises:
            ValueError: No command, or keys of several slots.
        """
        operation = Operation(
            Work.SCRIPT,
            slot_of_all(commands),
            EXEC,
            self._runner.deadline(deadline_s),
            durability,
            leaders=leaders_of(commands),
        )
        return await self._runner.run(operation)

    @asynccontextmanager
    async def watch(
        self, *keys: str | bytes, deadline_s: float | None = None
    ) -> AsyncIterator[Watched]:
        """Watch keys of one slot on a connection of its own: read them, then ``commit``.

        Raises:
            ServiceError: As ``read``, when the watch can't begin.
            ValueError: No key, or keys of several slots.
        """
        words = ("WATCH", *keys)
        slot = slot_of_keys(words)
        own = OwnConnection(self._nodes)
        try:
            until_s = self._runner.deadline(deadline_s)
            operation = Operation(Work.READ, slot, pack(words), until_s, own=own)
            (await self._runner.run(operation)).raise_for_status()
            yield Watched(own, slot, self._runner, self._wait_timeout_s)
        finally:
            await forget_watch(own)

    async def block(self, *command: Argument, deadline_s: float | None = None) -> WriteResult:
        """Run a command that waits, such as ``"BLPOP", "{q}jobs", 5``, on a connection of its own.

        Args:
            command: With its own timeout; 0 waits for ever. It is shortened to fit the deadline.
            deadline_s: Absolute monotonic seconds; None means the Context's, else none.

        Returns:
            The value is None when nothing came. UNKNOWN: the connection broke, and what was taken
            meanwhile is lost with it. So is what was taken for a caller who cancelled.

        Raises:
            ValueError: Not a command that waits, no timeout, keys of several slots.
        """
        own = OwnConnection(self._nodes)
        try:
            return await self._runner.run(blocking(command, own, self._runner, deadline_s))
        finally:
            await own.release()

    def subscribe(
        self,
        *channels: str | bytes,
        patterns: Sequence[str | bytes] = (),
        sharded: bool = False,
    ) -> Subscription:
        """Make a subscription: enter it (``async with``), then iterate over it.

        Args:
            channels: Names; with ``sharded`` of one slot.
            patterns: As PSUBSCRIBE takes them; not with ``sharded``.
            sharded: SSUBSCRIBE, at the node that owns the channels' slot (version 7 or newer).

        Raises:
            ValueError: Nothing to subscribe to, patterns with ``sharded``, or several slots.
        """
        made = Subscription(self._nodes, self._keeper, channels, patterns, sharded=sharded)
        self._subscriptions.add(made)
        return made
