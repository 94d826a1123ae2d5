"""In front of the cache: the ring says which node, and a node that fails is left alone for a while.

The ring is the clients' (``hashing.bounded``: a ketama ring), so a key has the same owner; its
copies are others', since ``shard.cache`` writes its keys with a prefix of the node's run id. A node
that was ejected has missed writes: it is emptied (FLUSHALL) before it is used again.
Where keys of one command have several nodes, the command is split as by slot, or refused.
Not handled: overflow to the next node, tokens: with several proxies that disagree about who is up a
deleted key may be read again at its stand-in, so give keys a lifetime.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from random import Random

from hashing.bounded import BoundedRing
from shard.greeting import PLAINLY, Greeting
from shard.policy.attempt import Failure, Stop, Work
from shard.policy.durability import STORE_TIMEOUT, STORE_UNAVAILABLE, WriteStatus
from shard.policy.ejection import Ejection
from shard.policy.topology import Address
from shard.proxy.line import Line
from shard.proxy.request import Request
from shard.proxy.router import failed
from shard.proxy.turn import Turn
from shard.resp import pack

_FLUSH = pack(("FLUSHALL", "ASYNC"))


class _Node:
    """One cache node: its ejection, and a line for each RESP."""

    def __init__(self, name: str, lines: dict[int, Line]) -> None:
        self.name = name
        self.lines = lines
        self.ejection = Ejection()

    def emptying(self) -> Sequence[bytes]:
        """Return what is said to it first: an ejected node has missed writes."""
        return () if self.ejection.is_up else (_FLUSH,)


class CacheRouter:
    """Brings commands to the nodes that the ring names.

    Args:
        nodes: By name, which is their place on the ring.
        turn: Says when to write.
        rng: Jitter.
        greeting: Said to each node first.
        clock: Monotonic seconds.
    """

    has_blocks = False

    def __init__(
        self,
        nodes: Mapping[str, Address],
        turn: Turn,
        rng: Random,
        *,
        greeting: Greeting = PLAINLY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._ring = BoundedRing(list(nodes))
        self._numbers = {name: number for number, name in enumerate(nodes)}
        self._of: dict[int, _Node] = {}
        self._nodes = []
        for name, address in nodes.items():
            lines = {}
            for protocol in (2, 3):
                hello = Greeting(protocol, greeting.user, greeting.password, greeting.tls)
                lines[protocol] = Line(address, hello, self, turn, rng, clock=clock)
            self._nodes.append(_Node(name, lines))
            self._of |= {id(line): self._nodes[-1] for line in lines.values()}
            # Emptied on one line: the other opens only once the node is up again.
            lines[2].on_open = self._nodes[-1].emptying
        self.counts = dict.fromkeys(("failed", "unknown", "lost", "elsewhere"), 0)

    def start(self) -> None:
        """Connect to every node."""
        for node in self._nodes:
            node.lines[2].open()

    @property
    def is_ready(self) -> bool:
        """Whether a node is up."""
        return any(node.ejection.is_up for node in self._nodes)

    def place_of(self, key: bytes) -> int:
        """Return the number of the first candidate that is up, else the owner's."""
        names = self._ring.candidates(key)
        for name in names:
            number = self._numbers[name]
            if self._nodes[number].ejection.is_up:
                return number
        return self._numbers[names[0]]

    def places(self) -> list[int]:
        """Return the numbers of the nodes that are up."""
        return [number for number, node in enumerate(self._nodes) if node.ejection.is_up]

    def send(self, request: Request) -> None:
        """Bring it to its node; an ejected one gets nothing."""
        node = self._nodes[request.place]
        if node.ejection.is_up:
            node.lines[request.protocol].send(request)
        else:
            self._fail(request, Failure.DOWN, f"{node.name} is ejected, and so are its stand-ins")

    def sweep(self, now_s: float) -> None:
        """Fail what is overdue, look again at nodes that were ejected."""
        for node in self._nodes:
            for line in node.lines.values():
                line.sweep(now_s)
            if node.ejection.may_probe(now_s):
                node.lines[2].open()

    async def close(self) -> None:
        """End every connection."""
        for node in self._nodes:
            for line in node.lines.values():
                await line.close()

    def figures(self) -> dict[str, float]:
        """Return what metrics tell."""
        lines = [line for node in self._nodes for line in node.lines.values()]
        return {
            "node_connections": sum(line.is_ready for line in lines),
            "node_commands_total": sum(line.count for line in lines),
            "node_in_flight": sum(line.in_flight for line in lines),
            "ejected_nodes": sum(not node.ejection.is_up for node in self._nodes),
            "ejections_total": sum(node.ejection.count for node in self._nodes),
            **{f"{name}_total": count for name, count in self.counts.items()},
        }

    # Owner of the lines

    def on_error(self, request: Request, reply: bytes, line: Line) -> None:
        """Hand the node's error on."""
        request.settle(reply)

    def on_failure(self, request: Request, failure: Failure, line: Line) -> None:
        """Let a failure count against the node; what wasn't sent goes to its stand-in, once."""
        node = self._of[id(line)]
        if failure in (Failure.OVERDUE, Failure.LOST) and self._eject(node, unreachable=False):
            line.hang_up()
        place = self.place_of(request.key)
        if failure is Failure.DOWN and request.attempt == 0 and place != request.place:
            request.attempt, request.place = 1, place
            self.counts["elsewhere"] += 1
            self._nodes[place].lines[request.protocol].send(request)
            return
        self._fail(request, failure, f"{node.name} ({line.address})")

    def on_line(self, line: Line, event: str) -> None:
        """Eject a node that can't be reached; bring one back that is empty and answers."""
        node = self._of[id(line)]
        if event == "failed":
            self._eject(node, unreachable=True)
        elif event == "connected" and line is node.lines[2]:
            node.ejection.on_success(self._clock())
        self.counts["lost"] += event == "lost"

    def _eject(self, node: _Node, *, unreachable: bool) -> bool:
        """Note a failure; True when the node is ejected by it, and all its lines must go."""
        note = node.ejection.on_unreachable if unreachable else node.ejection.on_failure
        ejected = note(self._clock())
        if ejected:
            for line in node.lines.values():
                line.hang_up()
        return ejected

    def _fail(self, request: Request, failure: Failure, where: str) -> None:
        is_safe = not failure.sent or request.work is Work.READ
        self.counts["failed" if is_safe else "unknown"] += 1
        status = WriteStatus.REFUSED if is_safe else WriteStatus.UNKNOWN
        late = failure in (Failure.OVERDUE, Failure.EXPIRED)
        reason = STORE_TIMEOUT if late else STORE_UNAVAILABLE
        message = "no reply before the deadline" if late else f"no answer ({failure.value})"
        request.settle(failed(Stop(status, reason, message), request.work, where))
