"""In front of the store: the slot says which node, and what a node answers says when it doesn't.

The rules are those of the clients (``shard.policy.attempt``): MOVED and ASK are followed, TRYAGAIN,
CLUSTERDOWN, LOADING and a lost read are tried again until the deadline, a lost write is told to be
unknown. What has to wait for another attempt waits in one list that a timer goes through.
Not handled: order between a command that was sent round and later ones of the same client to the
same key while the topology changes: such a command may come after them.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from hashing.slots import SLOT_COUNT, slot_of
from shard.connection import Limits
from shard.greeting import PLAINLY, Greeting
from shard.nodes import Nodes
from shard.policy.attempt import Again, Failure, Step, Stop, after_error, after_failure, is_refusal
from shard.policy.durability import (
    STORE_OVERLOADED,
    STORE_TIMEOUT,
    STORE_UNAVAILABLE,
    WriteStatus,
)
from shard.policy.redirect import Redirect
from shard.policy.topology import NOWHERE, Address
from shard.proxy.line import Line
from shard.proxy.request import Block, Request
from shard.proxy.router import failed
from shard.proxy.turn import Turn
from shard.refresh import TopologyKeeper

RESERVE_S = 0.05  # an answer with a reason is worth more than the last attempt
MAX_PARKED = 16_384  # commands that wait for another attempt


class StoreRouter:
    """Brings commands to the owners of their slots.

    Args:
        seeds: Nodes to ask first.
        turn: Says when to write.
        rng: Jitter, and the order in which nodes are asked.
        greeting: Said to each node first.
        clock: Monotonic seconds.
    """

    has_blocks = True
    place_of = staticmethod(slot_of)

    def __init__(
        self,
        seeds: Sequence[Address],
        turn: Turn,
        rng: Random,
        *,
        greeting: Greeting = PLAINLY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._turn = turn
        self._rng = rng
        self._clock = clock
        self._greetings = {
            protocol: Greeting(protocol, greeting.user, greeting.password, greeting.tls)
            for protocol in (2, 3)
        }
        self._nodes = Nodes(Limits(), rng, greeting=greeting, clock=clock)
        self._keeper = TopologyKeeper(seeds, self._nodes, rng, clock=clock)
        self._lines: dict[int, dict[Address, Line]] = {2: {}, 3: {}}
        self._owners: dict[int, list[Line | None]] = {2: [], 3: []}
        self._believed = NOWHERE
        self._parked: deque[Request] = deque()
        self._sent_before = 0  # by lines that are gone
        self.counts = dict.fromkeys(("retried", "redirected", "failed", "unknown", "lost"), 0)
        self._believe()

    def start(self) -> None:
        """Begin to ask for the topology."""
        self._keeper.refresh_soon()

    @property
    def is_ready(self) -> bool:
        """Whether the topology is known."""
        return self._keeper.topology is not NOWHERE

    def places(self) -> list[int]:
        """Return a slot of each primary."""
        owners = self._keeper.topology.owners
        return [owners.index(each) for each in self._keeper.topology.primaries]

    def send(self, request: Request) -> None:
        """Bring it to the owner of its slot."""
        if self._keeper.topology is not self._believed:
            self._believe()
        line = self._owners[request.protocol][request.place]
        if line is None:
            self._try_again(request, "no owner of the slot is known", refresh=True)
        else:
            line.send(request)

    def sweep(self, now_s: float) -> None:
        """Send what waits, fail what has waited too long."""
        for lines in self._lines.values():
            for line in list(lines.values()):
                line.sweep(now_s)
            self._forget(lines)
        for _ in range(len(self._parked)):
            request = self._parked.popleft()
            if now_s + RESERVE_S < request.deadline_s:
                self.send(request)
            else:
                stop = Stop(WriteStatus.REFUSED, STORE_UNAVAILABLE, request.trouble)
                self._fail(request, stop, self._owner_of(request))
        if not self.is_ready:
            self._keeper.refresh_soon()

    async def close(self) -> None:
        """End every connection."""
        for lines in self._lines.values():
            for line in list(lines.values()):
                await line.close()
        await self._keeper.close()  # after the lines, whose end makes it ask once more
        await self._nodes.close()

    def figures(self) -> dict[str, float]:
        """Return what metrics tell."""
        lines = [line for each in self._lines.values() for line in each.values()]
        return {
            "node_connections": sum(line.is_ready for line in lines),
            "node_commands_total": self._sent_before + sum(line.count for line in lines),
            "node_in_flight": sum(line.in_flight for line in lines),
            "waiting": len(self._parked),
            "topology_refreshes_total": self._keeper.refresh_count,
            **{f"{name}_total": count for name, count in self.counts.items()},
        }

    # Owner of the lines

    def on_error(self, request: Request, reply: bytes, line: Line) -> None:
        """Follow what sends elsewhere; anything else is the client's answer."""
        text = reply[1:-2].decode("utf-8", "backslashreplace")
        if isinstance(request, Block) and text.startswith("EXECABORT") and request.why_aborted:
            text = request.why_aborted[1:-2].decode("utf-8", "backslashreplace")
        if request.reply is not None or not is_refusal(text):
            request.settle(reply)
            return
        try:
            step = after_error(text, line.address, request.work, request.attempt, self._rng)
        except ValueError as wrong:  # a redirection that says nowhere
            step = Stop(WriteStatus.REFUSED, STORE_UNAVAILABLE, str(wrong))
        if isinstance(step, Stop) and step.reason != STORE_UNAVAILABLE:
            request.settle(reply)
        else:
            self._follow(request, step, line)

    def on_failure(self, request: Request, failure: Failure, line: Line) -> None:
        """Try again what may be, tell the rest."""
        step = after_failure(failure, request.work, request.attempt, self._rng)
        self._follow(request, step, line)

    def on_line(self, line: Line, event: str) -> None:
        """Count losses; a node that can't be had may have been replaced."""
        self.counts["lost"] += event == "lost"
        if event != "connected":
            self._keeper.refresh_soon()

    def _follow(self, request: Request, step: Step, line: Line) -> None:
        if isinstance(step, Stop):
            self._fail(request, step, line.address)
        elif isinstance(step, Again):
            why = f"{step.why} ({request.trouble})" if request.trouble else step.why
            self._try_again(request, why, refresh=step.refresh)
        else:
            self._redirect(request, step)

    def _redirect(self, request: Request, redirect: Redirect) -> None:
        request.attempt += 1
        self.counts["redirected"] += 1
        line = self._line(redirect.address, request.protocol)
        if redirect.asking:
            request.trouble = f"ASK {redirect.address}"
            line.open()
            line.send_asking(request)
            return
        self._keeper.on_moved(redirect.slot, redirect.address)
        self._believed = self._keeper.topology
        for protocol, owners in self._owners.items():
            owners[redirect.slot] = self._line(redirect.address, protocol)
        self._keeper.refresh_soon()  # where one slot has moved, others may have
        line.send(request)

    def _try_again(self, request: Request, why: str, *, refresh: bool) -> None:
        request.attempt += 1
        request.trouble = why[:200]
        self.counts["retried"] += 1
        if refresh:
            self._keeper.refresh_soon()
        if len(self._parked) < MAX_PARKED:
            self._parked.append(request)
        else:
            full = Stop(WriteStatus.REFUSED, STORE_OVERLOADED, "too many commands wait for nodes")
            self._fail(request, full, self._owner_of(request))

    def _fail(self, request: Request, stop: Stop, where: object) -> None:
        is_unknown = stop.status is WriteStatus.UNKNOWN and stop.reason in (
            STORE_TIMEOUT,
            STORE_UNAVAILABLE,
        )
        self.counts["unknown" if is_unknown else "failed"] += 1
        request.settle(failed(stop, request.work, where))

    def _owner_of(self, request: Request) -> str:
        owner = self._keeper.topology.owners[request.place]
        return f"slot {request.place}" if owner is None else str(owner)

    def _believe(self) -> None:
        """Read the topology into the tables that ``send`` looks at."""
        topology = self._believed = self._keeper.topology
        for protocol in self._owners:
            known = {each: self._line(each, protocol) for each in topology.primaries}
            self._owners[protocol] = [
                None if owner is None else known[owner] for owner in topology.owners
            ]
        assert len(self._owners[2]) == SLOT_COUNT

    def _forget(self, lines: dict[Address, Line]) -> None:
        """Drop the lines to nodes that the cluster doesn't name any more."""
        known = self._keeper.topology.replicas
        if len(lines) <= len(known) or not self.is_ready:
            return
        nodes = self._keeper.topology.nodes
        for address, line in list(lines.items()):
            if address not in nodes and not line.in_flight:
                self._sent_before += line.count
                del lines[address]
                line.hang_up()

    def _line(self, address: Address, protocol: int) -> Line:
        lines = self._lines[protocol]
        line = lines.get(address)
        if line is None:
            greeting = self._greetings[protocol]
            line = Line(address, greeting, self, self._turn, self._rng, clock=self._clock)
            lines[address] = line
        return line
