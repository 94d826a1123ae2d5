"""A node as an operator speaks to it: one command, one reply, an exception for all else."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from shard.connection import Connection, Limits
from shard.nudge import Nudge
from shard.policy.attempt import Failure
from shard.policy.epochs import Epochs, parse_epochs
from shard.policy.survey import NodeState, parse_node, valkey_major
from shard.policy.topology import Address
from shard.policy.view import parse_row
from shard.resp import Argument, Reply, ReplyError, pack

# A node may be asked for all its slots at once. SETSLOT waits a second for its replicas.
_NUDGING = -1  # the lane of nudges
LEAST_VALKEY = 8  # valkey: CLUSTER SETSLOT: since 8.0 replicas have it before it is executed
LIMITS = Limits(connect_timeout_s=0.5, reply_timeout_s=3.0, max_in_flight=20_000)


class NodeTrouble(Exception):
    """A node can't be reached, or refuses; the message names it and says why."""


class NodeLink:
    """Connects when first asked, and again after a loss."""

    def __init__(self, address: Address, nudge: Nudge | None = None) -> None:
        self.address = address
        self._nudge = nudge
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()  # for those who ask at once

    async def ask(self, *command: Argument, asking: bool = False) -> Reply:
        """Send one command.

        Args:
            asking: Whether the slot is one that the node only imports.

        Raises:
            NodeTrouble: There is no reply, or it is an error.
        """
        return (await self.ask_all([command], asking=asking))[0]

    async def ask_all(
        self, commands: Sequence[Sequence[Argument]], *, asking: bool = False
    ) -> list[Reply]:
        """Send commands in one write; replies in their order. Arguments as ``ask``."""
        connection = await self._open()
        deadline_s = time.monotonic() + LIMITS.reply_timeout_s
        with self._nudging(commands):
            answers = await asyncio.gather(
                *(
                    connection.send(
                        pack(tuple(command)),
                        deadline_s,
                        [connection.leader(pack(("ASKING",)))] if asking else (),
                    )
                    for command in commands
                )
            )
        for command, answer in zip(commands, answers, strict=True):
            if isinstance(answer, ReplyError | Failure):
                words = " ".join(map(str, command[:4]))
                if isinstance(answer, Failure):
                    self.close()
                raise NodeTrouble(f"{self.address} to {words!r:.60}: {answer}")
        return list(answers)

    async def where(self) -> Address:
        """Return its address in digits: MEET takes no names.

        Raises:
            NodeTrouble: It can't be reached.
        """
        return Address((await self._open()).peer, self.address.port)

    async def own_host(self) -> str:
        """Return this machine's address in digits, as the node sees it.

        Raises:
            NodeTrouble: The node can't be reached.
        """
        return (await self._open()).own_host

    async def look(self) -> tuple[NodeState, str]:
        """Return what the node says of itself, and its whole CLUSTER NODES.

        Raises:
            NodeTrouble: As ``ask``, and when it isn't a node of a cluster.
        """
        nodes, *parts = await self.ask_all(
            [
                ("CLUSTER", "NODES"),
                *(("INFO", part) for part in ("replication", "memory", "keyspace")),
            ]
        )
        text = _text(nodes)
        own = [line for line in text.splitlines() if "myself" in line]
        try:
            return parse_node(own[0] if own else "", "\n".join(map(_text, parts))), text
        except ValueError as error:
            raise NodeTrouble(f"{self.address}: {error}") from error

    async def epochs(self) -> Epochs:
        """Return the epochs the node knows.

        Raises:
            NodeTrouble: As ``ask``.
        """
        text = _text(await self.ask("CLUSTER", "INFO"))
        try:
            return parse_epochs(text)
        except ValueError as error:
            raise NodeTrouble(f"{self.address}: {error}") from error

    async def connection(self) -> Connection | None:
        """Return the connection, opened if need be; None when the node can't be reached."""
        try:
            return await self._open()
        except NodeTrouble:
            return None

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _nudging(self, commands: Sequence[Sequence[Argument]]) -> Iterator[None]:
        """Nudge the node while it waits for its replica."""
        if self._nudge is None or not any(map(_waits, commands)):
            yield
            return
        self._nudge.begin()
        try:
            yield
        finally:
            self._nudge.end()

    async def _open(self) -> Connection:
        async with self._opening:
            if self._connection is None or not self._connection.is_open:
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(LIMITS.connect_timeout_s):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(LIMITS), self.address.host, self.address.port
                )
        except OSError as error:
            why = str(error) or type(error).__name__
            raise NodeTrouble(f"{self.address} does not answer ({why})") from error
        return connection


def _waits(command: Sequence[Argument]) -> bool:
    return command[0] == "WAIT" or command[1:2] == ("SETSLOT",)


def _text(reply: Reply) -> str:
    return reply.decode() if isinstance(reply, bytes) else ""


class Cluster:
    """All nodes of a cluster, found from any of them; ``close`` last.

    Args:
        seeds: Whom to ask first; nodes that the others name are asked, too.
    """

    def __init__(self, seeds: Sequence[Address]) -> None:
        self._seeds = list(seeds)
        self._links: dict[tuple[Address, int], NodeLink] = {}
        self._nudges: dict[Address, Nudge] = {}

    def link(self, address: Address, lane: int = 0) -> NodeLink:
        """Return the link to a node.

        Args:
            lane: Any number; a link of its own for each, so that what waits on one (SETSLOT for
                replicas) leaves the others alone.
        """
        link = self._links.get((address, lane))
        if link is None:
            nudging = self._links.setdefault((address, _NUDGING), NodeLink(address))
            nudge = self._nudges.setdefault(address, Nudge(nudging.connection))
            link = self._links[address, lane] = NodeLink(address, nudge)
        return link

    async def look(self) -> list[NodeState]:
        """Ask every node.

        Raises:
            NodeTrouble: No seed answers.
        """
        text = await self._first_word()
        rows = [row for row in map(parse_row, text.splitlines()) if row is not None]
        known = [row for row in rows if row.address.host]
        looks = await asyncio.gather(
            *(self.link(row.address).look() for row in known), return_exceptions=True
        )
        states: list[NodeState] = []
        for row, found in zip(known, looks, strict=True):
            if isinstance(found, NodeTrouble):
                states.append(NodeState(row, trouble=str(found)))
            elif isinstance(found, BaseException):
                raise found
            else:
                states.append(_at(found[0], row.address))
        self._seeds = [each.address for each in states if not each.trouble] or self._seeds
        return states

    async def require_valkey(self) -> None:
        """Refuse nodes whose SETSLOT doesn't wait for replicas: a failover would lose the marks.

        Raises:
            NodeTrouble: A node is older than Valkey 8, or none at all; or no seed answers.
        """
        for state in await self.look():
            if state.trouble:
                continue
            info = _text(await self.link(state.address).ask("INFO", "server"))
            if valkey_major(info) < LEAST_VALKEY:
                raise NodeTrouble(
                    f"{state.address} isn't Valkey {LEAST_VALKEY} or newer: its slots can't be "
                    "moved safely, since its SETSLOT doesn't wait for replicas"
                )

    def leave_out(self, addresses: Sequence[Address]) -> None:
        """Ask these no more who is in the cluster: they have left it."""
        self._seeds = [each for each in self._seeds if each not in addresses]

    def close(self) -> None:
        """End all connections."""
        for nudge in self._nudges.values():
            nudge.close()
        for link in self._links.values():
            link.close()

    async def _first_word(self) -> str:
        troubles: list[str] = []
        for seed in self._seeds:
            try:
                return (await self.link(seed).look())[1]
            except NodeTrouble as error:
                troubles.append(str(error))
        raise NodeTrouble(f"no node answers: {'; '.join(troubles)}")


def _at(state: NodeState, address: Address) -> NodeState:
    """Put in the address that others know: a node may not know its own."""
    return replace(state, row=replace(state.row, address=address))
