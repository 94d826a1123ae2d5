"""Optimistic locking: WATCH some keys, read, and write only if they haven't changed.

On a connection of its own, since the node remembers the watch by connection. Where that breaks, or
the slot moves, the watch is void: nothing is written, and the caller begins again.
"""

import asyncio
from collections.abc import Sequence
from random import Random

from shard.commit import Committed
from shard.connection import Connection
from shard.executor import result_of
from shard.own import OwnConnection
from shard.policy.attempt import Failure, Step, Stop, Work, after_error, after_failure
from shard.policy.commands import COMMANDS
from shard.policy.durability import (
    REPLICAS_NEEDED,
    STORE_UNAVAILABLE,
    Durability,
    WriteStatus,
)
from shard.policy.split import split
from shard.resp import Answer, Argument, Reply, ReplyError, is_plain, pack
from shard.result import WriteResult
from shard.routing import as_bytes
from shard.runner import Runner
from shard.transaction import EXEC, leaders_of, outcome, slot_of_all

UNWATCH_TIMEOUT_S = 0.3  # a node silent for longer isn't worth keeping a connection to

_UNWATCH = pack(("UNWATCH",))
_UNUSED = Random(0)  # of a pause that isn't made
_VOID = "the connection broke or the slot moved, and the watch with it: begin again"


class Watched:
    """Keys under watch; ``StoreClient.watch`` makes it.

    Args:
        own: Holds the connection on which WATCH was said.
        slot: Of the keys.
        runner: Knows deadlines.
        wait_timeout_s: How long a REPLICATED commit waits for its replica, seconds.
    """

    def __init__(
        self, own: OwnConnection, slot: int, runner: Runner, wait_timeout_s: float
    ) -> None:
        self._own = own
        self._slot = slot
        self._runner = runner
        self._wait = pack(("WAIT", REPLICAS_NEEDED, int(wait_timeout_s * 1000)))

    async def read(self, *command: Argument, deadline_s: float | None = None) -> Reply:
        """Read a key of the watched slot.

        Raises:
            ServiceError: As ``StoreClient.read``; STORE_UNAVAILABLE when the watch is void.
            ValueError: A key of another slot.
        """
        self._require_slot([command])
        connection = self._own.connection
        if connection is None:
            return _void().raise_for_status()
        until_s = self._runner.deadline(deadline_s)
        answer = await connection.send(pack(command), until_s)
        if is_plain(answer):
            return answer
        return self._judge(Work.READ, answer).raise_for_status()

    async def commit(
        self,
        *commands: Sequence[Argument],
        durability: Durability = Durability.LOCAL,
        deadline_s: float | None = None,
    ) -> WriteResult:
        """Write, if no watched key has changed; the value is the list of replies.

        REFUSED with STORE_CONFLICT when one has. The watch ends with it either way.

        Raises:
            ValueError: No command, or a key of another slot.
        """
        self._require_slot(commands)
        connection = self._own.connection
        if connection is None:
            return _void()
        until_s = self._runner.deadline(deadline_s)
        done = await self._send(connection, commands, durability, until_s)
        if is_plain(done.answer):
            return result_of(durability, done)
        return self._judge(Work.SCRIPT, done.answer)

    async def _send(
        self,
        connection: Connection,
        commands: Sequence[Sequence[Argument]],
        durability: Durability,
        until_s: float,
    ) -> Committed:
        leaders = [connection.leader(each) for each in leaders_of(commands)]
        executed = connection.send(EXEC, until_s, leaders)
        proof = None
        if durability is Durability.REPLICATED:
            proof = connection.send(self._wait, until_s)
        answer = await executed
        queued = [each.future.result() for each in leaders if each.future.done()]
        return Committed(outcome(queued, answer), None if proof is None else await proof)

    def _judge(self, work: Work, answer: Answer) -> WriteResult:
        address = self._own.address
        assert address is not None
        step: Step
        if isinstance(answer, Failure):
            step = after_failure(answer, work, 0, _UNUSED)
        else:
            assert isinstance(answer, ReplyError)
            step = after_error(str(answer), address, work, 0, _UNUSED)
        if isinstance(step, Stop):
            return WriteResult(step.status, None, step.reason, step.message)
        return _void()

    def _require_slot(self, commands: Sequence[Sequence[Argument]]) -> None:
        slot = slot_of_all(commands)
        if slot != self._slot:
            raise ValueError(f"a key of slot {slot}, the watched ones are of slot {self._slot}")


def slot_of_keys(words: Sequence[Argument]) -> int:
    """Return the slot of a WATCH's keys.

    Raises:
        CrossSlotError: There are several.
        ValueError: There is no key.
    """
    raw = [as_bytes(each) for each in words]
    (part,) = split(COMMANDS[b"WATCH"], raw)
    return part.slot


async def forget_watch(own: OwnConnection) -> None:
    """Give the connection back without a watch on it: the next transaction there isn't ours."""
    connection = own.connection
    if connection is not None:
        await asyncio.wait([connection.send(_UNWATCH)], timeout=UNWATCH_TIMEOUT_S)
    await own.release()


def _void() -> WriteResult:
    return WriteResult(WriteStatus.REFUSED, None, STORE_UNAVAILABLE, _VOID)
