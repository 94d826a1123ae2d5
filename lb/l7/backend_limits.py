"""Limits of backends: what each may hold at once, and how many wait in front of all (``Rooms``).

Not handled: WebSockets (their limit is ``websocket: {max_tunnels}``), checks, which are never held
back, and the lab's own services, whose servers have limiters of their own.
"""

from collections.abc import Iterator, Mapping

from kit.source import DataPath
from kit.source_types import Part
from lb.policy.rooms import DEFAULT_CONNECTIONS, DEFAULT_PENDING


class LimitOptions(Part, frozen=True):
    """Section ``limits``; 0 is none.

    Args:
        backend_connections: Requests that one backend may hold at once, each on a connection.
        backend_pending: Requests that may wait for each backend; 0: none waits.
    """

    backend_connections: int = DEFAULT_CONNECTIONS
    backend_pending: int = DEFAULT_PENDING


def limit_mistakes(options: LimitOptions, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Name what is out of range."""
    for key in ("backend_connections", "backend_pending"):
        value = getattr(options, key)
        if value < 0:
            yield (*at, key), f"{key} is {value}; give 0 at least"


def limits_of(options: LimitOptions, own: Mapping[str, int]) -> Mapping[str, int]:
    """Return each backend's limit by its name, from its own; 0 there: as for all."""
    return {name: limit or options.backend_connections for name, limit in own.items()}
