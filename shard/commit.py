"""Group commit: REPLICATED writes leave together and share one WAIT.

Why: WAIT blocks its connection until the replica has confirmed, so one WAIT per write would cost a
replica's round trip each, one after the other. A WAIT covers every write before it on the same
connection, so a single one behind all writes of a loop turn proves them all.
While a WAIT is out, later writes are held back and form the next group. So the more callers, the
larger the groups; and when a WAIT finds no replica, only its own group has been executed without
proof (UNKNOWN): those held back were never sent, and are refused.
Source: group commit as databases have done it since DeWitt et al., SIGMOD 1984; valkey: WAIT.
Not handled: holding a group open on purpose for it to grow.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from shard.connection import Command, Connection
from shard.nudge import Nudge
from shard.policy.attempt import Failure
from shard.policy.durability import REPLICAS_NEEDED, ReplicaWatch
from shard.resp import Answer, ReplyError, is_plain, pack

DEFAULT_WAIT_TIMEOUT_S = 0.5  # a replica confirms within 2 ms, unless its disk makes it wait
PROBE_TIMEOUT_S = 0.05  # a probe only asks what is known already


class Committed(NamedTuple):
    """A write's answer, and the answer of the WAIT behind it (None when the write had failed)."""

    answer: Answer
    replicas: Answer


class GroupCommit:
    """The REPLICATED writes of one connection, which it has to itself.

    Args:
        connection: Used for nothing else.
        watch: Learns from every WAIT.
        wait_timeout_s: How long a WAIT may block, seconds; below the reply timeout.
        nudge: Of the node; None for none.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        connection: Connection,
        watch: ReplicaWatch,
        *,
        wait_timeout_s: float = DEFAULT_WAIT_TIMEOUT_S,
        nudge: Nudge | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connection = connection
        self.watch = watch
        self.group_count = 0
        self.probe_count = 0
        self._wait_payload = _pack_wait(wait_timeout_s)
        self._nudge = nudge
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._group: Command | None = None  # the WAIT that will follow the writes queued now
        self._is_waiting = False

    async def write(
        self, payload: bytes, deadline_s: float | None, leaders: Sequence[Command] = ()
    ) -> Committed:
        """Send a write, then say how many replicas had it when its group's WAIT ended.

        Args:
            payload: The packed command.
            deadline_s: For the write and its proof together.
            leaders: Commands that must directly precede it; see ``Command``.
        """
        group = self._join()  # first: the group must end before the connection's own flush
        written = self.connection.send(payload, deadline_s, leaders)
        proven: asyncio.Future[Answer] = self._loop.create_future()
        group.follow(proven, deadline_s)
        answer = await written
        if not is_plain(answer):
            return Committed(answer, None)
        return Committed(answer, await proven)

    async def may_write(self) -> bool:
        """Whether a write could be proven; probes when that is in doubt and a probe is due."""
        if self.watch.is_replicated:
            return True
        if self.watch.may_probe(self._clock()):
            await self.probe()
        return self.watch.is_replicated

    async def probe(self) -> Answer:
        """Ask by a WAIT without a write how many replicas have everything sent so far."""
        deadline_s = self._clock() + 2 * PROBE_TIMEOUT_S
        self.probe_count += 1
        replicas = await self.connection.send(_pack_wait(PROBE_TIMEOUT_S), deadline_s)
        self._learn(replicas)
        return replicas

    def _join(self) -> Command:
        """Return the group that is gathering, a new one if need be."""
        if self._group is None:
            self._group = Command(self._wait_payload, self._loop.create_future(), None)
            if not self._is_waiting:
                self._loop.call_soon(self._end_group)
        return self._group

    def _end_group(self) -> None:
        """Send the gathered writes and their WAIT; hold back what comes next."""
        group, self._group = self._group, None
        assert group is not None
        self.group_count += 1
        self._is_waiting = True
        group.future.add_done_callback(self._on_wait)
        self.connection.enqueue(group)
        self.connection.flush()
        self.connection.hold()
        if self._nudge is not None:
            self._nudge.begin()

    def _learn(self, replicas: Answer) -> None:
        if isinstance(replicas, ReplyError):
            self.watch.on_demoted()
        else:
            self.watch.on_count(replicas, self._clock())

    def _on_wait(self, future: asyncio.Future[Answer]) -> None:
        if self._nudge is not None:
            self._nudge.end()
        self._learn(future.result())
        self._is_waiting = False
        if not self.watch.is_replicated:
            self._group = None
            self.connection.refuse_held(Failure.UNREPLICATED)
        self.connection.release()
        if self._group is not None:
            self._end_group()


def _pack_wait(timeout_s: float) -> bytes:
    return pack(("WAIT", REPLICAS_NEEDED, int(timeout_s * 1000)))
