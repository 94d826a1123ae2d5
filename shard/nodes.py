"""The links to every node that a client talks to, made on first use, dropped when out of use."""

import asyncio
import time
from collections.abc import Callable, Collection, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from random import Random

from shard.commit import DEFAULT_WAIT_TIMEOUT_S
from shard.connection import Limits
from shard.greeting import PLAINLY, Greeting
from shard.link import CommitLink, Dial, Link, directly
from shard.nudge import Nudge
from shard.observer import SILENT, StoreObserver
from shard.policy.topology import Address

MAX_IDLE = 4  # connections kept per node for the next who needs one of his own


@dataclass(slots=True)
class Nodes:
    """Two links per address, one plain, one for REPLICATED writes; others are lent out.

    A third is opened once a replica was slow to confirm (``shard.nudge``).

    Args:
        limits: Of each connection.
        rng: Jitter of the reconnects.
        observer: Hears of connections made and lost.
        wait_timeout_s: How long a group's WAIT may block, seconds; below the reply timeout.
        clock: Monotonic seconds.
        dial: Says where to connect for an address; see ``redial``.
        greeting: Said on each connection first.
    """

    limits: Limits
    rng: Random
    observer: StoreObserver = SILENT
    wait_timeout_s: float = DEFAULT_WAIT_TIMEOUT_S
    clock: Callable[[], float] = time.monotonic
    dial: Dial = directly
    greeting: Greeting = PLAINLY
    _plain: dict[Address, Link] = field(default_factory=dict)
    _commit: dict[Address, CommitLink] = field(default_factory=dict)
    _reader: dict[Address, Link] = field(default_factory=dict)
    _nudging: dict[Address, Link] = field(default_factory=dict)
    _idle: dict[Address, list[Link]] = field(default_factory=dict)
    _lent: set[Link] = field(default_factory=set)

    def __post_init__(self) -> None:
        assert self.wait_timeout_s < self.limits.reply_timeout_s, "a WAIT would look overdue"

    def plain(self, address: Address) -> Link:
        """Return the link for reads and LOCAL writes."""
        link = self._plain.get(address)
        if link is None:
            link = self._plain[address] = self._link(address, self.limits, self.greeting)
        return link

    def reader(self, address: Address) -> Link:
        """Return the link for reads from a replica."""
        link = self._reader.get(address)
        if link is None:
            greeting = replace(self.greeting, is_reader=True)
            link = self._reader[address] = self._link(address, self.limits, greeting)
        return link

    def commit(self, address: Address) -> CommitLink:
        """Return the link for REPLICATED writes."""
        link = self._commit.get(address)
        if link is None:
            nudging = self._nudging[address] = self._link(address, self.limits, self.greeting)
            link = self._commit[address] = CommitLink(
                address,
                self.limits,
                self.rng,
                dial=self.dial,
                greeting=self.greeting,
                on_event=self.observer.on_connection,
                clock=self.clock,
                wait_timeout_s=self.wait_timeout_s,
                nudge=Nudge(nudging.open),
            )
        return link

    async def lend(self, address: Address, timeout_s: float) -> Link | None:
        """Lend an open link to one caller alone; None when the node can't be reached now.

        The plain link is opened first: its backoff keeps a dead node from being asked in vain.
        Its reply timeout is off, since a command that blocks is silent on purpose.
        """
        wait_s = min(timeout_s, self.limits.connect_timeout_s)
        if await self.plain(address).open(wait_s) is None:
            return None
        idle = self._idle.get(address)
        patient = replace(self.limits, reply_timeout_s=inf)
        link = idle.pop() if idle else self._link(address, patient, self.greeting)
        self._lent.add(link)
        try:
            opened = await link.open(wait_s)
        except asyncio.CancelledError:
            await self.give_back(link)
            raise
        if opened is None:
            await self.give_back(link)
        return link if opened else None

    async def give_back(self, link: Link) -> None:
        """Take a lent link back; one with something still on it is closed."""
        self._lent.discard(link)
        idle = self._idle.setdefault(link.address, [])
        if link.connection is None or link.in_flight or len(idle) >= MAX_IDLE:
            await link.close()
        else:
            idle.append(link)

    def _link(self, address: Address, limits: Limits, greeting: Greeting) -> Link:
        return Link(
            address,
            limits,
            self.rng,
            dial=self.dial,
            greeting=greeting,
            on_event=self.observer.on_connection,
            clock=self.clock,
        )

    def _all(self) -> Sequence[MutableMapping[Address, Link] | MutableMapping[Address, CommitLink]]:
        return self._plain, self._commit, self._reader, self._nudging

    def connected(self) -> list[Address]:
        """Return the addresses whose plain link is open."""
        return [each for each, link in self._plain.items() if link.connection is not None]

    def redial(self) -> None:
        """Let every link whose way has changed take the new one (``Link.redial``)."""
        for links in self._all():
            for link in links.values():
                link.redial()
        for idle in self._idle.values():
            for link in idle:
                link.redial()

    async def retain(self, wanted: Collection[Address]) -> None:
        """Drop the links to all other addresses, once nothing is in flight on them."""
        for links in self._all():
            for address, link in list(links.items()):
                if address not in wanted and not link.in_flight:
                    del links[address]
                    await link.close()
        for address in set(self._idle) - set(wanted):
            for link in self._idle.pop(address):
                await link.close()

    async def close(self) -> None:
        """End every connection."""
        for links in self._all():
            for link in list(links.values()):
                await link.close()
            links.clear()
        for link in (*self._lent, *(each for idle in self._idle.values() for each in idle)):
            await link.close()
        self._lent.clear()
        self._idle.clear()

    def snapshot(self) -> dict[str, int]:
        """Return sums over all connections that are open now."""
        links = [link for links in self._all() for link in links.values()]
        connections = [link.connection for link in links if link.connection is not None]
        groups = [link.group for link in self._commit.values() if link.group is not None]
        return {
            "connections": len(connections),
            "in_flight": sum(each.in_flight for each in connections),
            "commands": sum(each.command_count for each in connections),
            "socket_writes": sum(each.write_count for each in connections),
            "replies_dropped": sum(each.dropped_count for each in connections),
            "commit_groups": sum(each.group_count for each in groups),
        }
