"""Local reads: hot keys out of this process's memory, kept true by what the nodes say.

Each node has one more connection for it, which speaks RESP3 and tracks: every key that is read on
it once, the node names in a push when it changes. Only keys worth a copy are read there, so the
node remembers few and names few. ``shard.policy.local_cache`` decides what is kept and given; here
are the questions, the pushes and the clock.

- *Default mode*, not BCAST: a broadcast by prefix names every key that changes (of one prefix all
  entries of a node; prefixes that begin alike are refused, and ``video:7`` and ``video:70`` do).
- *A connection of its own*, not ``OPTIN`` on the one for reads: the script that reads an entry
  reads the node's table too, and each look of anybody would name that.
- *A question every round* of the watch (PING) as long as copies of a node are kept: its answer
  proves that nothing is unheard.
- A copy is given only while its node may be read at all (``shard.policy.coherence``): a delete that
  misses a node waits until nobody reads from it, and that holds here too. Else its copies go.

Source: valkey: CLIENT TRACKING, the invalidate push; Redis docs, "Client-side caching reference".
Not handled: servers before version 6, which refuse HELLO 3: then nothing is kept here.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random

from resilience.policy.contract import Mode, Snapshot
from resilience.switches import Switches
from shard.cache_node import CacheNode
from shard.cache_reader import Hit, Miss, Reader
from shard.cache_scripts import parse_entry
from shard.connection import Connection, Limits
from shard.greeting import PING, Greeting
from shard.hot_keys import HotKeys
from shard.link import Dial, Link, directly
from shard.policy.coherence import Coherence
from shard.policy.local_cache import LocalCache
from shard.policy.topology import Address
from shard.resp import Answer, is_plain, pack

NAME = "local_cache"  # its switch

_RESP3 = Greeting(protocol=3)
_TRACK = pack(("CLIENT", "TRACKING", "ON"))
_TIME = pack(("TIME",))


class TrackingLink(Link):
    """A connection whose node names each key read on it when that changes."""

    async def _greet(self, connection: Connection) -> bool:
        return await super()._greet(connection) and is_plain(await connection.send(_TRACK))


class LocalReader:
    """Reads, out of memory where that may be.

    Args:
        reader: Asks the nodes.
        nodes: By name.
        coherence: Says which node may be read.
        hot_keys: Says which keys are asked for most.
        copies: Decides, and keeps.
        switches: Asked for ``local_cache``. In shadow copies are kept and counted, and the nodes
            answer; off, all are dropped.
        limits: Of each connection.
        rng: Jitter of reconnects.
        dial: Says where to connect for a node's address.
        timeout_s: Longest time a question takes, seconds, > 0.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        reader: Reader,
        nodes: Mapping[str, CacheNode],
        coherence: Coherence,
        hot_keys: HotKeys,
        copies: LocalCache,
        switches: Switches,
        *,
        limits: Limits,
        rng: Random,
        timeout_s: float,
        dial: Dial = directly,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.copies = copies
        self._reader = reader
        self._nodes = nodes
        self._coherence = coherence
        self._hot_keys = hot_keys
        self._switches = switches
        self._timeout_s = timeout_s
        self._clock = clock
        self._opening: dict[Link, asyncio.Task[Connection | None]] = {}
        self._links = {
            name: TrackingLink(
                node.link.address,
                limits,
                rng,
                dial=dial,
                greeting=_RESP3,
                on_push=partial(self._on_push, name),
                on_event=partial(self._on_event, name),
                clock=clock,
            )
            for name, node in nodes.items()
        }

    async def get_many(
        self, keys: Sequence[str], deadline_s: float | None = None
    ) -> list[Hit | Miss]:
        """Read keys, all at once; see ``CacheClient.get``."""
        mode = self._switches.mode(NAME)
        if mode is Mode.OFF:
            return await self._reader.get_many(keys, deadline_s)
        here = self._look(keys, mode)
        others = [key for key in keys if key not in here]
        if others:
            answers = await self._reader.get_many(others, deadline_s)
            for key, answer in zip(others, answers, strict=True):
                self._offer(key, answer)
            there = iter(answers)
        return [here[key] if key in here else next(there) for key in keys]

    @contextmanager
    def held(self, keys: Sequence[str]) -> Iterator[None]:
        """Keep no copy of these keys for the length of a with block, in which they are deleted."""
        self.copies.hold(keys)
        try:
            yield
        finally:
            self.copies.release(keys)

    def on_round(self) -> None:
        """Look after what is kept; called with each round of the watch."""
        if self._switches.mode(NAME) is Mode.OFF:
            self._let_go()
            return
        self.copies.set_hot(self._hot_keys.top())
        now_s = self._clock()
        for name, link in self._links.items():
            if not self._is_readable(name, now_s):
                self.copies.drop_node(name)
            elif link.connection is not None and self.copies.has_any_of(name):
                answer = link.connection.send(PING, now_s + self._timeout_s)
                answer.add_done_callback(partial(self._on_pong, name, now_s))

    def redial(self) -> None:
        """Take the way that ``dial`` says now; what the old one brought is dropped."""
        for name, link in self._links.items():
            before = link.connection
            link.redial()
            if link.connection is not before:
                self.copies.drop_node(name)

    async def close(self) -> None:
        """End every connection."""
        self.copies.clear()
        for link in self._links.values():
            await link.close()
        if self._opening:
            await asyncio.wait(list(self._opening.values()))

    def snapshot(self) -> Snapshot:
        """Return how many reads were answered here, and what became of copies."""
        return self.copies.snapshot()

    def reset(self, now_s: float) -> None:
        """Zero the counts; what is kept stays."""
        self.copies.reset(now_s)

    def _look(self, keys: Sequence[str], mode: Mode) -> dict[str, Hit]:
        """Return what may be answered from here."""
        now_s, here = self._clock(), dict[str, Hit]()
        for key in keys:
            node = self.copies.node_of(key)
            if node is None or not self._is_readable(node, now_s):
                continue
            copy = self.copies.get(key, now_s)
            if copy is not None and mode is Mode.ON:
                age_s = max(0.0, now_s - copy.filled_s)
                here[key] = Hit(copy.value, age_s, node=copy.node, is_local=True)
        return here

    def _is_readable(self, name: str, now_s: float) -> bool:
        gone = [each for each, node in self._nodes.items() if node.is_gone]
        return (
            self._nodes[name].is_up
            and name not in gone
            and self._coherence.may_read(name, now_s, gone)
        )

    def _offer(self, key: str, answer: Hit | Miss) -> None:
        """Ask for a copy of what a node has just answered, if it is worth one."""
        if not isinstance(answer, Hit) or answer.is_stale or not self.copies.is_wanted(key):
            return
        link = self._links[answer.node]
        if link.connection is None:
            self._open(link)  # a later read asks
            return
        now_s = self._clock()
        number = self.copies.ask(key, answer.node, now_s)
        entry = self._nodes[answer.node].entry(key)
        # Answered in order: with the second one both are here.
        found = link.connection.send(pack(("GET", entry)), now_s + self._timeout_s)
        at = link.connection.send(_TIME, now_s + self._timeout_s)
        at.add_done_callback(partial(self._take, key, number, found))

    def _take(
        self,
        key: str,
        number: int,
        found: "asyncio.Future[Answer]",
        at: "asyncio.Future[Answer]",
    ) -> None:
        filled = parse_entry(found.result(), at.result()) if found.done() else None
        if filled is None:
            self.copies.give_up(key, number)
        else:
            self.copies.keep(key, number, *filled, self._clock())

    def _open(self, link: Link) -> None:
        if link not in self._opening:
            task = asyncio.get_running_loop().create_task(link.open())
            self._opening[link] = task
            task.add_done_callback(lambda _: self._opening.pop(link))

    def _on_push(self, name: str, frame: list[object]) -> None:
        match frame:
            case [b"invalidate", [*entries]]:
                for entry in entries:
                    if isinstance(entry, bytes):
                        _, _, key = entry.decode(errors="replace").partition(":")
                        self.copies.on_invalidated(name, key)
            case [b"invalidate", None]:
                self.copies.on_flushed(name)

    def _on_pong(self, name: str, asked_s: float, answer: "asyncio.Future[Answer]") -> None:
        if is_plain(answer.result()):
            self.copies.on_answer(name, asked_s)

    def _on_event(self, name: str, _: Address, event: str) -> None:
        if event == "lost":
            self.copies.drop_node(name)

    def _let_go(self) -> None:
        """Drop all copies, and the connections with which nodes remember us."""
        self.copies.clear()
        for link in self._links.values():
            if link.connection is not None:
                link.connection.close()
