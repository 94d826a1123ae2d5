"""Make one cluster of the store's nodes, or find the one they are: ``python -m shard.form``.

Looks, lets ``shard.policy.formation`` name the next commands, gives them, looks again 50 ms later;
ends when nothing is missing. Killing it at any point and starting it again is harmless, and so is
running it twice at once.
Environment: SQUALL_STORE, the nodes as host:port separated by commas, the first half of them
primaries of a fresh cluster; SQUALL_STORE_SPARE, nodes that it may have been grown by, which stay
out of it if not; SQUALL_SLOT_ALGORITHM, a name in ``hashing.registry``.
Exit codes: 0 formed, 2 the environment is wrong, 3 not formed within the limit.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from hashing import registry
from hashing.algorithm import Node
from shard.connection import Connection, Limits
from shard.policy.assignment import Assignment, assign
from shard.policy.formation import MIN_PRIMARIES, Action, plan_formation, shard_name, with_members
from shard.policy.topology import Address
from shard.policy.view import View, parse_view
from shard.resp import Answer, pack

DEFAULT_ALGORITHM = "rendezvous"  # the most even at hand: skew 1.05 in blocks of 16, ketama 1.12
DEFAULT_LIMIT_S = 60.0
POLL_S = 0.05
SPARES_VARIABLE = "SQUALL_STORE_SPARE"
REPORT_EVERY_S = 5.0
LIMITS = Limits(connect_timeout_s=0.5, reply_timeout_s=2.0)

# A replica's first copy waits this long for others to join it; there are none. Default: 5 s.
_AT_ONCE = ("CONFIG", "SET", "repl-diskless-sync-delay", 0)
_LOOK = (("CLUSTER", "NODES"), ("CLUSTER", "INFO"), ("INFO", "replication"))


class NotFormed(Exception):
    """The limit is over; the message names what is missing."""


class Formed(NamedTuple):
    """How it went.

    Args:
        primaries: Nodes that own slots.
        replicas: Nodes that follow one.
        commands: How many were given; 0 when there was nothing to do.
        seconds: From the first look to the last.
    """

    primaries: int
    replicas: int
    commands: int
    seconds: float


async def form(
    nodes: Sequence[Address],
    *,
    spares: Sequence[Address] = (),
    algorithm: str = DEFAULT_ALGORITHM,
    limit_s: float = DEFAULT_LIMIT_S,
    report: Callable[[str], None] = lambda line: None,
) -> Formed:
    """Form the cluster, or find it.

    Args:
        nodes: An even number, six at least; a fresh cluster's primaries first.
        spares: Nodes that the cluster may have been grown by (``squall shard add``).
        algorithm: Decides which shard gets which slots that nobody owns.
        limit_s: When to give up, seconds.
        report: Told what is missing, every five seconds.

    Raises:
        ValueError: When the number of nodes or the algorithm is wrong.
        NotFormed: When the limit is over.
    """
    assignment = assignment_of(len(nodes), algorithm)
    began_s = time.monotonic()
    report_s = began_s + REPORT_EVERY_S
    nodes_at = [_NodeAt(each) for each in (*nodes, *spares)]
    given = 0
    try:
        while True:
            looks = await asyncio.gather(*(each.look() for each in nodes_at))
            views = with_members(looks[: len(nodes)], looks[len(nodes) :])
            now_s = time.monotonic()
            plan = plan_formation(views, assignment, now_s - began_s)
            if not plan.actions and not plan.missing:
                return _formed(views, given, now_s - began_s)
            if now_s - began_s > limit_s:
                raise NotFormed("; ".join(plan.missing))
            if now_s >= report_s:
                report_s += REPORT_EVERY_S
                report(f"waiting: {'; '.join(plan.missing)}")
            given += len(plan.actions)
            await _give(nodes_at, plan.actions)
            await asyncio.sleep(POLL_S)
    finally:
        for each in nodes_at:
            each.close()


def assignment_of(node_count: int, algorithm: str) -> Assignment:
    """Compute which shard gets which slots in a fresh cluster of that many nodes.

    Raises:
        ValueError: When the number of nodes or the algorithm is wrong.
    """
    shards, odd = divmod(node_count, 2)
    if odd or shards < MIN_PRIMARIES:
        raise ValueError(
            f"{node_count} nodes: give an even number, {2 * MIN_PRIMARIES} at least, "
            "so that every primary has a replica"
        )
    names = [Node(shard_name(number)) for number in range(shards)]
    return assign(registry.build(algorithm, names))


def read_nodes(text: str) -> list[Address]:
    """Read ``host:port,host:port,...``.

    Raises:
        ValueError: When an entry isn't one, or comes twice.
    """
    nodes: list[Address] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        host, _, port = entry.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise ValueError(f"{entry!r} is not host:port")
        nodes.append(Address(host, int(port)))
    if len(set(nodes)) < len(nodes):
        raise ValueError("a node is listed twice")
    return nodes


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Form the cluster that the environment names; return the exit code."""
    try:
        nodes = read_nodes(environ.get("SQUALL_STORE", ""))
        spares = read_nodes(environ.get(SPARES_VARIABLE, ""))
        algorithm = environ.get("SQUALL_SLOT_ALGORITHM") or DEFAULT_ALGORITHM
        assignment_of(len(nodes), algorithm)
    except ValueError as error:
        _say(
            f"{error}. Set SQUALL_STORE=host:port,..., {SPARES_VARIABLE} and SQUALL_SLOT_ALGORITHM"
        )
        return 2
    try:
        limit_s = DEFAULT_LIMIT_S
        done = asyncio.run(
            form(nodes, spares=spares, algorithm=algorithm, limit_s=limit_s, report=_say)
        )
    except NotFormed as error:
        _say(f"not formed after {DEFAULT_LIMIT_S:.0f} s: {error}")
        return 3
    _say(
        f"{'formed' if done.commands else 'found'} {done.primaries} primaries, "
        f"{done.replicas} replicas, slots by {algorithm}, {done.seconds:.1f} s"
    )
    return 0


class _NodeAt:
    """A node at a fixed name, wherever that leads at the moment."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._connection: Connection | None = None

    async def look(self) -> View | str:
        """Return what the node says, or why it says nothing."""
        try:
            where = await self._open()
            replies = [await self.ask(command) for command in _LOOK]
            if all(isinstance(reply, bytes) for reply in replies):
                texts = [reply.decode() for reply in replies if isinstance(reply, bytes)]
                return parse_view(where, *texts)
            return f"{self.address} answers {replies[0]}"
        except (OSError, ValueError) as error:
            return f"{self.address} does not answer ({error or type(error).__name__})"

    async def ask(self, command: tuple[str | int, ...]) -> Answer:
        """Send one command; answers as ``Connection.send``."""
        if self._connection is None:
            return None
        deadline_s = time.monotonic() + LIMITS.reply_timeout_s
        return await self._connection.send(pack(command), deadline_s)

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _open(self) -> Address:
        """Connect if need be, and return the address in digits: MEET takes no names."""
        if self._connection is None or not self._connection.is_open:
            async with asyncio.timeout(LIMITS.connect_timeout_s):
                loop = asyncio.get_running_loop()
                _, self._connection = await loop.create_connection(
                    lambda: Connection(LIMITS), self.address.host, self.address.port
                )
            await self.ask(_AT_ONCE)
        return Address(self._connection.peer, self.address.port)


async def _give(nodes: Sequence[_NodeAt], actions: Sequence[Action]) -> None:
    """Give the commands; an error reply means "not yet" or "done already", and is looked at again.

    One after the other: introductions must be out before epochs are refused for a full table.
    """
    for index, command in actions:
        with suppress(OSError):
            await nodes[index].ask(command)


def _formed(views: Sequence[View | str | None], commands: int, seconds: float) -> Formed:
    known = [view for view in views if isinstance(view, View)]
    replicas = sum(1 for view in known if view.myself.is_replica)
    primaries = sum(1 for view in known if view.myself.slots)
    return Formed(primaries, replicas, commands, seconds)


def _say(line: str) -> None:
    sys.stderr.write(f"store: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
