"""A node's links: the connections to one address, opened when needed and again after a loss.

Two connections per node: one for reads and LOCAL writes, one for REPLICATED writes, whose WAITs
would hold the others up. Each is opened by the first command that needs it; callers that come
meanwhile share the attempt, and it survives the caller who began it. Between attempts a backoff
holds, during which commands fail at once instead of queueing up before a dead node.
A connection counts as open when its greeting is answered (PING at least; HELLO, AUTH by choice):
the kernel of a paused process still accepts. The commit connection is asked for a WAIT besides, so
that a node without a replica is known before a write is spent on it.
Where a connection is made to may differ from the node's address, and change (``redial``): then the
old connection finishes what is on it while new commands take the new one. Each group of REPLICATED
writes stays with its WAIT on one connection, so nothing is acknowledged across the two.
Not handled: more than one connection per purpose; one saturates a node's single thread.
"""

import asyncio
import errno
import socket
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import TypeAlias

from shard.commit import DEFAULT_WAIT_TIMEOUT_S, GroupCommit
from shard.connection import Connection, Limits
from shard.greeting import PLAINLY, Greeting
from shard.nudge import Nudge
from shard.policy.attempt import Failure
from shard.policy.backoff import Backoff
from shard.policy.durability import DEFAULT_PROBE_INTERVAL_S, ReplicaWatch
from shard.policy.topology import Address
from shard.resp import Answer, ReplyError, is_plain

_NOBODY_THERE = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH})
_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})

Dial: TypeAlias = Callable[[Address], Address]


def directly(address: Address) -> Address:
    """Connect where the node is: the usual way."""
    return address


class Link:
    """One connection to a node, kept open as long as somebody uses it.

    Args:
        address: The node.
        limits: Of the connection.
        rng: Jitter of the backoff.
        dial: Says where to connect for the address; see ``redial``.
        greeting: Said on each connection before anything else.
        on_push: Told each RESP3 push; see ``Connection``.
        on_event: Told ``connected``, ``failed`` or ``lost``.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        address: Address,
        limits: Limits,
        rng: Random,
        *,
        dial: Dial = directly,
        greeting: Greeting = PLAINLY,
        on_push: Callable[[list[object]], None] | None = None,
        on_event: Callable[[Address, str], None] = lambda address, event: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address = address
        self.connection: Connection | None = None
        self.rebuff: str | None = None  # the error by which the node answered the last greeting
        self._limits = limits
        self._greeting = greeting
        self._on_push = on_push
        self._on_event = on_event
        self._clock = clock
        self.was_refused = False  # the last attempt: nobody listens there, or no such host is left
        self._way = dial
        self._dialled = dial(address)
        self._backoff = Backoff(rng)
        self._leaving: set[Connection] = set()
        self._opening: asyncio.Task[None] | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Link {self.address} {self.connection!r}>"

    async def open(self, timeout_s: float | None = None) -> Connection | None:
        """Return the connection, opening it if need be; None when it can't be had now.

        Args:
            timeout_s: How long the caller waits; the attempt goes on. None: the connect timeout.
        """
        if self.connection is not None:
            return self.connection
        if self._opening is None:
            if self._is_closed or not self._backoff.may_try(self._clock()):
                return None
            self._opening = asyncio.get_running_loop().create_task(self._connect())
        opening = self._opening
        # wait() leaves the attempt alone when this caller is cancelled: others wait for it too.
        await asyncio.wait([opening], timeout=timeout_s)
        return self.connection

    @property
    def in_flight(self) -> int:
        """Commands queued or unanswered."""
        connections = (
            self._leaving if self.connection is None else {self.connection, *self._leaving}
        )
        return sum(each.in_flight for each in connections)

    def redial(self) -> None:
        """Take the way that ``dial`` says now, if it isn't the one taken last.

        What is on the connection of the old way gets its answers there, then that is closed; an
        attempt at the old way is given up. The next command opens the new one, backoff or not.
        """
        if self._way(self.address) == self._dialled:
            return
        self._dialled = self._way(self.address)
        self._backoff.on_success()  # failures of one way say nothing of another
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        if self.connection is not None:
            leaving, self.connection = self.connection, None
            self._leaving = {leaving, *(each for each in self._leaving if each.is_open)}
            leaving.close_when_done()

    async def close(self) -> None:
        """End the connection and any attempt at one; for good."""
        self._is_closed = True
        opening = self._opening
        if opening is not None:
            opening.cancel()
            await asyncio.wait([opening])
        for connection in (self.connection, *self._leaving):
            if connection is not None:
                connection.close()

    async def _connect(self) -> None:
        connection: Connection | None = None
        self.rebuff = None
        try:
            async with asyncio.timeout(self._limits.connect_timeout_s):
                connection = await self._dial()
                if not await self._greet(connection):
                    raise ConnectionError("not ready")
        # TimeoutError and ConnectionError are OSErrors too; a host that is no name, a ValueError.
        except (OSError, ValueError) as error:
            if connection is not None:
                connection.close()
            self.was_refused = _is_refusal(error)
            self._backoff.on_failure(self._clock())
            self._on_event(self.address, "failed")
            return
        except asyncio.CancelledError:
            if connection is not None:
                connection.close()
            raise
        finally:
            if self._opening is asyncio.current_task():
                self._opening = None
        self._backoff.on_success()
        self.connection = connection if connection.is_open else None
        self._on_event(self.address, "connected")

    async def _dial(self) -> Connection:
        host, port = self._dialled = self._way(self.address)
        _, connection = await asyncio.get_running_loop().create_connection(
            self._protocol, host, port, ssl=self._greeting.tls
        )
        return connection

    def _protocol(self) -> Connection:
        return Connection(
            self._limits, on_lost=self._lost, on_push=self._on_push, clock=self._clock
        )

    async def _greet(self, connection: Connection) -> bool:
        """Whether the node takes the greeting; -LOADING is no answer yet."""
        answers = [connection.send(each) for each in self._greeting.commands()]
        return self._heard([await answer for answer in answers])

    def _heard(self, answers: Sequence[Answer]) -> bool:
        errors = [str(each) for each in answers if isinstance(each, ReplyError)]
        self.rebuff = errors[0] if errors else None
        return all(map(is_plain, answers))

    def _lost(self) -> None:
        if self.connection is not None and not self.connection.is_open:  # not one that is leaving
            self.connection = None
            self._on_event(self.address, "lost")


def _is_refusal(error: OSError | ValueError) -> bool:
    if isinstance(error, ValueError):
        return True
    known = _NO_SUCH_NAME if isinstance(error, socket.gaierror) else _NOBODY_THERE
    return error.errno in known


class CommitLink(Link):
    """The connection for REPLICATED writes, with its group commit.

    Args:
        wait_timeout_s: See ``GroupCommit``.
        probe_interval_s: See ``ReplicaWatch``.
        nudge: See ``GroupCommit``.
    """

    def __init__(
        self,
        address: Address,
        limits: Limits,
        rng: Random,
        *,
        dial: Dial = directly,
        greeting: Greeting = PLAINLY,
        on_event: Callable[[Address, str], None] = lambda address, event: None,
        clock: Callable[[], float] = time.monotonic,
        wait_timeout_s: float = DEFAULT_WAIT_TIMEOUT_S,
        probe_interval_s: float = DEFAULT_PROBE_INTERVAL_S,
        nudge: Nudge | None = None,
    ) -> None:
        super().__init__(
            address, limits, rng, dial=dial, greeting=greeting, on_event=on_event, clock=clock
        )
        self.group: GroupCommit | None = None
        self._wait_timeout_s = wait_timeout_s
        self._nudge = nudge
        self._watch = ReplicaWatch(probe_interval_s)  # outlives connections: it is of the node

    async def open_group(self, timeout_s: float | None = None) -> GroupCommit | None:
        """Return the group commit of an open connection; otherwise as ``open``."""
        connection = self.connection or await self.open(timeout_s)
        return None if connection is None else self.group

    async def _greet(self, connection: Connection) -> bool:
        self.group = GroupCommit(
            connection,
            self._watch,
            wait_timeout_s=self._wait_timeout_s,
            nudge=self._nudge,
            clock=self._clock,
        )
        if not await super()._greet(connection):
            return False
        # A replica answers WAIT with an error: it is reachable, and will send MOVED for a write.
        return not isinstance(await self.group.probe(), Failure)
