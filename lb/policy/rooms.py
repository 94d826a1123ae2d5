"""Rooms: how many requests each backend may hold at once, and who waits until one has room.

Why: a backend that is given more than it can work on gets slower for all of it; a line in front of
it costs nothing and can be left. Why one line for all backends and not one each: whoever has room
first takes the first in line, and nobody waits behind a slow one while another is idle.
Over HTTP/1.1 a request in flight is a connection in use, so this is also the limit of connections.

- *Full*: as many in flight as its limit. It isn't picked while another is not full.
- *The line*: first come, first served, ``pending`` for each backend that there is. Beyond it a
  request is refused at once, and nothing was started.
- *A limit that shrinks* takes nothing away: what is over it ends in its own time.

Source: Envoy's circuit breakers (``max_connections``, ``max_pending_requests``, 1,024 each:
envoy:api/envoy/config/cluster/v3/circuit_breaker.proto); HAProxy's ``maxconn`` of a server with the
queue of its backend, from which any server takes (haproxy:doc/configuration.txt "maxconn").
Not handled: limits that find themselves (``resilience.policy`` has limiters); a place in the line
by importance.
"""

from collections.abc import Collection, Mapping
from typing import Generic, TypeVar

from resilience.policy.contract import Snapshot

WaiterT = TypeVar("WaiterT")

DEFAULT_CONNECTIONS = 1024  # Envoy: max_connections
DEFAULT_PENDING = 1024  # Envoy: max_pending_requests
NO_LIMIT = 0


class Rooms(Generic[WaiterT]):
    """Count what is in flight by backend against limits, and hold the line."""

    def __init__(self) -> None:
        self.overflows = 0  # refused since the line was full
        self.waits = 0  # that ever stood in line
        self._limits: Mapping[str, int] = {}
        self._pending = 0
        self._active: dict[str, int] = {}
        self._full: frozenset[str] = frozenset()
        self._line: dict[WaiterT, None] = {}  # in order of arrival; leaving it costs no search

    def use(self, limits: Mapping[str, int], pending: int) -> None:
        """Hold other limits from now on; what is in flight and in line stays.

        Args:
            limits: By backend, requests in flight, >= 0; ``NO_LIMIT`` is none.
            pending: Requests in line for each backend, >= 0.
        """
        self._limits = {name: limit for name, limit in limits.items() if limit != NO_LIMIT}
        self._pending = pending * len(limits)
        self._full = frozenset(
            name for name, limit in self._limits.items() if self._active.get(name, 0) >= limit
        )

    @property
    def full(self) -> frozenset[str]:
        """Backends that have no room."""
        return self._full

    @property
    def waiting(self) -> int:
        """Requests in line."""
        return len(self._line)

    def on_start(self, name: str) -> None:
        """Count one more in flight there."""
        active = self._active[name] = self._active.get(name, 0) + 1
        if active == self._limits.get(name):  # beyond it ``use`` has said so
            self._full |= {name}

    def on_finish(self, name: str) -> None:
        """Count one less."""
        left = self._active[name] - 1
        if left:
            self._active[name] = left
        else:
            del self._active[name]  # so that who left the fleet is forgotten
        if self._full and name in self._full and left < self._limits[name]:
            self._full -= {name}

    def is_any_free(self, candidates: Collection[str]) -> bool:
        """Whether one of them has room; True without candidates, when no room helps."""
        return not candidates or not self._full.issuperset(candidates)

    def wait(self, waiter: WaiterT) -> bool:
        """Stand in line, at its end; False, and counted, when the line is full."""
        if len(self._line) >= self._pending:
            self.overflows += 1
            return False
        self._line[waiter] = None
        self.waits += 1
        return True

    def leave(self, waiter: WaiterT) -> None:
        """Leave the line, whoever stands in it or not."""
        self._line.pop(waiter, None)

    def take_first(self) -> WaiterT:
        """Call the first in line; there must be one."""
        first = next(iter(self._line))
        del self._line[first]
        return first

    def snapshot(self) -> Snapshot:
        """Who waits, how many ever did or were refused, and how many backends are full."""
        return {
            "rooms.waiting": len(self._line),
            "rooms.waits": self.waits,
            "rooms.overflows": self.overflows,
            "rooms.full": len(self._full),
        }
