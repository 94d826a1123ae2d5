"""Links to services of one's own: nobody declares them, a route at l7 is enough.

Why: who adds a service with one label (docs/own-service.md) should be able to disturb its link too,
and l7 is the only one that calls it.
"""

from collections.abc import Mapping

from faults.wire.links import Link, Server
from kit.entries import RouteEntry

CLIENT = "l7"
FIELD = "route/"


def own_links(entries: Mapping[str, object]) -> tuple[Link, ...]:
    """Return the links that route entries bring.

    Args:
        entries: The lab's, by field.
    """
    return tuple(Link(CLIENT, name) for name in _routes(entries))


def own_servers(entries: Mapping[str, object]) -> list[Server]:
    """Return the replicas behind those links: ``hello.1``, as l7 names them."""
    return [
        Server(f"{name}.{number}", (host, route.port))
        for name, route in _routes(entries).items()
        for number, host in enumerate(route.hosts, start=1)
    ]


def _routes(entries: Mapping[str, object]) -> dict[str, RouteEntry]:
    return {
        field.removeprefix(FIELD): entry
        for field, entry in entries.items()
        if isinstance(entry, RouteEntry)
    }
