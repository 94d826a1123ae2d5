"""Carry one operation out: find the owner, send, and follow what the policy says of the answer.

One loop serves reads, writes and scripts: an answer that isn't plain goes to
``shard.policy.attempt``, and what comes back (go there, again, stop) is done here, within the
operation's deadline. What happened on the way is noted in the request's Context for ``explain``.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from resilience import context
from shard.commit import Committed
from shard.connection import Command, Connection
from shard.nodes import Nodes
from shard.observer import StoreFaults
from shard.operation import Operation
from shard.policy.attempt import (
    Again,
    Failure,
    Reads,
    Step,
    Stop,
    after_error,
    after_failure,
    after_proof,
    is_refusal,
)
from shard.policy.durability import STORE_ERROR, STORE_UNAVAILABLE, Durability, WriteStatus
from shard.policy.redirect import Redirect
from shard.policy.topology import Address
from shard.refresh import TopologyKeeper
from shard.resp import Answer, ReplyError, is_plain, pack
from shard.result import WriteResult
from shard.transaction import outcome

# An operation in trouble stops this long before its deadline, so that its caller gets the reason
# and not a timeout; what a hop keeps for its own answer (design.md: remaining - 50 ms).
RESERVE_S = 0.05

_ASKING = pack(("ASKING",))
_NOTHING_TRIED = Committed(Failure.DOWN, None)


class Sent(NamedTuple):
    """A command on its way.

    Args:
        to: The node.
        answer: Gets its answer.
    """

    to: Address
    answer: asyncio.Future[Answer]


class Executor:
    """Carries operations out over the links of one client.

    Args:
        nodes: Links to every node.
        keeper: Knows who owns what.
        faults: Asked before each command when given.
        rng: Jitter of the pauses.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        nodes: Nodes,
        keeper: TopologyKeeper,
        faults: StoreFaults | None,
        rng: Random,
        clock: Callable[[], float],
    ) -> None:
        self.retry_count = 0
        self.fallback_count = 0  # reads that no replica answered
        self._nodes = nodes
        self._keeper = keeper
        self._faults = faults
        self._rng = rng
        self._clock = clock

    async def execute(self, operation: Operation, sent: Sent | None = None) -> WriteResult:
        """Send until there is a result; each turn of the loop is one attempt.

        Args:
            operation: What to do.
            sent: The first attempt, when ``send_now`` has begun it.
        """
        if operation.reads is not Reads.PRIMARY:
            done = await self._read_replica(operation)
            if done is not None:
                return done
        attempt = 0
        redirect: Redirect | None = None
        trouble: str | None = None  # why it had to be tried again, which outlasted the deadline
        while True:
            owner = self.owner(operation.slot) if redirect is None else redirect.address
            if sent is not None:
                owner, tried, sent = sent.to, Committed(await sent.answer, None), None
            else:
                asking = redirect is not None and redirect.asking
                tried = await self._try(operation, owner, asking)
            if is_plain(tried.answer):
                return result_of(operation.durability, tried)
            if operation.learn_script(tried.answer):
                continue
            if tried.answer is Failure.EXPIRED and trouble is not None:
                return WriteResult(WriteStatus.REFUSED, None, STORE_UNAVAILABLE, trouble)
            step = self._decide(operation, tried.answer, owner, attempt)
            if isinstance(step, Stop):
                return WriteResult(step.status, None, step.reason, step.message)
            attempt += 1
            redirect = step if isinstance(step, Redirect) else None
            if isinstance(step, Again):
                trouble = self._trouble(owner, step)
                if self._clock() + RESERVE_S >= operation.deadline_s:
                    return WriteResult(WriteStatus.REFUSED, None, STORE_UNAVAILABLE, trouble)
            await self._follow(step, operation, owner)

    def send_now(self, operation: Operation) -> Sent | None:
        """Send a read or LOCAL write without waiting; None when that isn't possible."""
        owner = self.owner(operation.slot)
        connection = None if owner is None else self.open_connection(owner)
        if owner is None or connection is None or operation.reads is not Reads.PRIMARY:
            return None
        return Sent(owner, connection.send(operation.payload, operation.deadline_s))

    def owner(self, slot: int) -> Address | None:
        """Return who is believed to own a slot."""
        return self._keeper.topology.owners[slot]

    def open_connection(self, address: Address) -> Connection | None:
        """Return the shared connection to a node, if it is open and no faults are laid."""
        return None if self._faults is not None else self._nodes.plain(address).connection

    def note(self, what: str, **detail: str) -> None:
        """Note a decision in the Context of the request being served, if any."""
        current = context.current()
        if current is not None:
            current.note("store", what, self._clock(), **detail)

    def _decide(
        self, operation: Operation, answer: Answer, owner: Address | None, attempt: int
    ) -> Step:
        if isinstance(answer, Failure):
            return after_failure(answer, operation.work, attempt, self._rng)
        assert owner is not None
        try:
            return after_error(str(answer), owner, operation.work, attempt, self._rng)
        except ValueError as error:  # a redirection that says nowhere
            return Stop(WriteStatus.REFUSED, STORE_UNAVAILABLE, str(error))

    def _trouble(self, owner: Address | None, step: Again) -> str:
        """Say why it has to be tried again; the node's word where it refused the greeting."""
        rebuff = None if owner is None else self._nodes.plain(owner).rebuff
        return f"{owner or 'no owner'}: {rebuff or step.why}"

    async def _follow(
        self, step: Redirect | Again, operation: Operation, owner: Address | None
    ) -> None:
        """Do what comes before the next attempt, within the deadline."""
        self.retry_count += 1
        if isinstance(step, Redirect):
            self.note("ask" if step.asking else "moved", to=str(step.address))
            if not step.asking:
                self._keeper.on_moved(step.slot, step.address)
            return
        self.note("retry", why=step.why)
        if step.refresh:
            await self._keeper.refresh(self._left_s(operation))
            if self.owner(operation.slot) != owner:
                return  # somebody else serves it now: no need to pause
        await asyncio.sleep(min(step.pause_s, self._left_s(operation)))

    def _left_s(self, operation: Operation) -> float:
        """Return how long it makes sense to wait before another attempt, >= 0."""
        return max(0.0, operation.deadline_s - RESERVE_S - self._clock())

    async def _read_replica(self, operation: Operation) -> WriteResult | None:
        """Ask one replica once; None when the primary has to be asked.

        It may take half of the time left, so that a replica that hangs leaves enough for the
        primary.
        """
        address = self._replica(operation)
        if address is None:
            return None
        left_s = (operation.deadline_s - self._clock()) / 2
        answer = await self._ask_replica(operation, address, left_s)
        if is_plain(answer):
            return WriteResult(WriteStatus.ACKNOWLEDGED, answer)
        if isinstance(answer, ReplyError) and not is_refusal(str(answer)):
            return WriteResult(WriteStatus.REFUSED, None, STORE_ERROR, str(answer))
        self.fallback_count += 1
        self.note("fallback", of=str(address))
        return None

    async def _ask_replica(self, operation: Operation, address: Address, left_s: float) -> Answer:
        error = None if self._faults is None else await self._faults.before_send(address)
        if error is not None:
            return ReplyError(error)
        until_s = self._clock() + left_s
        link = self._nodes.reader(address)
        connection = link.connection or await link.open(max(0.0, left_s))
        if connection is None:
            return Failure.DOWN
        return await connection.send(operation.payload, until_s)

    def _replica(self, operation: Operation) -> Address | None:
        """Choose a node other than the primary by chance; None: it is the primary's turn."""
        owner = self.owner(operation.slot)
        replicas = () if owner is None else self._keeper.topology.replicas.get(owner, ())
        if not replicas:
            return None
        if operation.reads is Reads.REPLICA:
            return self._rng.choice(replicas)
        chosen = self._rng.randrange(len(replicas) + 1)
        return replicas[chosen] if chosen < len(replicas) else None

    async def _try(self, operation: Operation, owner: Address | None, asking: bool) -> Committed:
        if self._clock() >= operation.deadline_s:
            return Committed(Failure.EXPIRED, None)
        return _NOTHING_TRIED if owner is None else await self._send(operation, owner, asking)

    async def _send(self, operation: Operation, address: Address, asking: bool) -> Committed:
        if self._faults is not None:
            error = await self._faults.before_send(address)
            if error is not None:
                return Committed(ReplyError(error), None)
        if operation.durability is Durability.REPLICATED:
            return await self._send_replicated(operation, address, asking)
        connection = await self._connection(operation, address)
        if connection is None:
            return _NOTHING_TRIED
        if not asking and not operation.leaders:
            return Committed(await connection.send(operation.payload, operation.deadline_s), None)
        leaders = _leaders(connection, operation, asking)
        answer = await connection.send(operation.payload, operation.deadline_s, leaders)
        return Committed(_settled(operation, leaders, answer), None)

    async def _connection(self, operation: Operation, address: Address) -> Connection | None:
        left_s = operation.deadline_s - self._clock()
        if operation.own is not None:
            return await operation.own.at(address, left_s)
        link = self._nodes.plain(address)
        return link.connection or await link.open(left_s)

    async def _send_replicated(
        self, operation: Operation, address: Address, asking: bool
    ) -> Committed:
        group = await self._nodes.commit(address).open_group(operation.deadline_s - self._clock())
        if group is None:
            return _NOTHING_TRIED
        probes = group.probe_count
        if not await group.may_write():
            group.watch.refused += 1
            if group.probe_count > probes:  # perhaps it is cut off, and another has taken over
                self._keeper.refresh_soon()
            return Committed(Failure.UNREPLICATED, None)
        leaders = _leaders(group.connection, operation, asking)
        done = await group.write(operation.payload, operation.deadline_s, leaders)
        return Committed(_settled(operation, leaders, done.answer), done.replicas)


def _leaders(connection: Connection, operation: Operation, asking: bool) -> list[Command]:
    payloads = (_ASKING, *operation.leaders) if asking else operation.leaders
    return [connection.leader(each) for each in payloads]


def _settled(operation: Operation, leaders: Sequence[Command], answer: Answer) -> Answer:
    """Return the answer, of a transaction what it comes to."""
    if not operation.leaders:
        return answer
    own = leaders[len(leaders) - len(operation.leaders) :]
    return outcome([each.future.result() for each in own if each.future.done()], answer)


def result_of(durability: Durability, done: Committed) -> WriteResult:
    """Judge an executed command by its durability."""
    if durability is Durability.LOCAL:
        return WriteResult(WriteStatus.ACKNOWLEDGED, done.answer)
    unproven = after_proof(done.replicas)
    if unproven is None:
        return WriteResult(WriteStatus.ACKNOWLEDGED, done.answer)
    return WriteResult(unproven.status, None, unproven.reason, unproven.message)
