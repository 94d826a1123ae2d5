"""Run operations: bounded, within a deadline, and told to the observer.

Between the client's methods and the executor. Several operations at once, the parts of a split
command, leave in one turn without a task for each: those that can be sent now are, and the answer
of each is then carried to its end in order.
"""

import asyncio
from collections.abc import Callable, Sequence

from hashing.slots import slot_of
from resilience import context
from shard.executor import Executor, Sent
from shard.observer import StoreObserver
from shard.operation import Operation
from shard.policy.attempt import Work
from shard.policy.durability import STORE_OVERLOADED, Durability, WriteStatus
from shard.resp import Answer, Argument, is_plain, pack
from shard.result import WriteResult
from shard.routing import key_of

# A split command of more parts goes in several turns: a quarter of what one connection takes
# (``connection.DEFAULT_MAX_IN_FLIGHT``), so that one caller doesn't shut the others out.
WINDOW = 256

_READ = Work.READ  # a member looked up in its class costs a descriptor
_TOO_MANY = WriteResult(WriteStatus.REFUSED, None, STORE_OVERLOADED, "too many commands under way")


class Runner:
    """What every method of the client stands on.

    Args:
        executor: Carries operations out.
        observer: Hears of each operation's end.
        operation_timeout_s: For an operation without any other deadline, seconds, > 0.
        max_operations: Under way at once, > 0; beyond, STORE_OVERLOADED.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        executor: Executor,
        observer: StoreObserver,
        operation_timeout_s: float,
        max_operations: int,
        clock: Callable[[], float],
    ) -> None:
        self.under_way = 0
        self.clock = clock
        self._executor = executor
        self._observer = observer
        self._operation_timeout_s = operation_timeout_s
        self._max_operations = max_operations

    def deadline(self, deadline_s: float | None) -> float:
        """Return the deadline given, else the Context's, else one timeout from now."""
        if deadline_s is not None:
            return deadline_s
        current = context.current()
        if current is not None and current.deadline_s is not None:
            return current.deadline_s
        return self.clock() + self._operation_timeout_s

    async def run(self, operation: Operation, sent: Sent | None = None) -> WriteResult:
        """Bound, execute and report one operation.

        Args:
            operation: What to do.
            sent: Its first attempt when that is on its way already.
        """
        began_s = self.clock()
        if self.under_way >= self._max_operations and sent is None:
            result = _TOO_MANY
        else:
            self.under_way += 1
            try:
                result = await self._executor.execute(operation, sent)
            finally:
                self.under_way -= 1
        ended_s = self.clock()
        self._observer.on_operation(operation.name, operation.judge(result), ended_s - began_s)
        if result.reason is not None:
            self._executor.note(result.status.value, reason=result.reason)
        return result

    async def quick(
        self, work: Work, command: tuple[Argument, ...], deadline_s: float | None
    ) -> Answer | WriteResult:
        """Run a command of one key, LOCAL, by the shortest way: a plain reply as it is.

        Where nothing is in the way (the connection is open, no faults are laid), it costs one
        future and no operation. Anything else, and any answer that isn't plain, goes by ``run``,
        whose result is returned.

        Args:
            work: Read or write.
            command: One of ``routing.SIMPLE``.
            deadline_s: As ``deadline``.
        """
        began_s = self.clock()
        until_s = self.deadline(None) if deadline_s is None else deadline_s
        slot, payload = slot_of(key_of(command)), pack(command)
        owner, connection = self._executor.owner(slot), None
        if owner is not None and self.under_way < self._max_operations and began_s < until_s:
            connection = self._executor.open_connection(owner)
        if owner is None or connection is None:
            return await self.run(Operation(work, slot, payload, until_s))
        answer = connection.send(payload, until_s)
        self.under_way += 1
        try:
            reply = await answer
        finally:
            self.under_way -= 1
        if reply.__class__ is bytes or is_plain(reply):
            name = "read" if work is _READ else "write-local"
            self._observer.on_operation(name, "ok", self.clock() - began_s)
            return reply
        return await self.run(Operation(work, slot, payload, until_s), Sent(owner, answer))

    async def run_all(self, operations: Sequence[Operation]) -> list[WriteResult]:
        """Run several at once, ``WINDOW`` at a time; results in their order."""
        results: list[WriteResult] = []
        for begin in range(0, len(operations), WINDOW):
            window = operations[begin : begin + WINDOW]
            together = self._run_sent if _is_local(window) else self._run_gathered
            results += await together(window)
        return results

    async def _run_sent(self, operations: Sequence[Operation]) -> list[WriteResult]:
        """Send all in this turn; should one not leave now, they wait side by side."""
        if self.under_way + len(operations) > self._max_operations:
            return await self._run_gathered(operations)
        sent = [self._executor.send_now(each) for each in operations]
        if None in sent:
            return await self._run_gathered(operations, sent)
        began_s = self.clock()
        return [
            await self._finish(operation, each, began_s)
            for operation, each in zip(operations, sent, strict=True)
            if each is not None
        ]

    async def _finish(self, operation: Operation, sent: Sent, began_s: float) -> WriteResult:
        self.under_way += 1
        try:
            reply = await sent.answer
        finally:
            self.under_way -= 1
        if not is_plain(reply):
            return await self.run(operation, sent)
        self._observer.on_operation(operation.name, "ok", self.clock() - began_s)
        return WriteResult(WriteStatus.ACKNOWLEDGED, reply)

    async def _run_gathered(
        self, operations: Sequence[Operation], sent: Sequence[Sent | None] | None = None
    ) -> list[WriteResult]:
        first = sent or [None] * len(operations)
        async with asyncio.TaskGroup() as group:
            pairs = zip(operations, first, strict=True)
            tasks = [group.create_task(self.run(*pair)) for pair in pairs]
        return [task.result() for task in tasks]


def _is_local(operations: Sequence[Operation]) -> bool:
    return all(each.durability is Durability.LOCAL for each in operations)
