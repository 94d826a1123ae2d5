"""What a compose service's labels tell Squall.

Why: a service of your own joins the lab with one label, in the file that describes it anyway;
nothing in the lab's own code names it.

    squall.route: /hello     requests below this path go to the service (lb/l7/routes.py)
    squall.port: "8000"      where it listens; 8000 unless said
    squall.health: /         what l7's checks ask for; / unless said
    squall.mode: containers  the service has nothing to do in process mode, and isn't started there

Not handled: several routes of one service.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from kit.entries import DEFAULT_HEALTH, DEFAULT_ROUTE_PORT, check_entry
from kit.errors import ConfigError

PREFIX = "squall."
ROUTE = "squall.route"
PORT = "squall.port"
HEALTH = "squall.health"
MODE = "squall.mode"
KNOWN = (ROUTE, PORT, HEALTH, MODE)
MODES = ("containers", "processes")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a service of one's own answers, and for which paths."""

    prefix: str
    port: int = DEFAULT_ROUTE_PORT
    health: str = DEFAULT_HEALTH


def read_route(service: str, labels: Mapping[str, str]) -> Route | None:
    """Return the route that a service's labels ask for, None without one.

    Raises:
        ConfigError: A label of ours is unknown or wrong; names it, its value and what to write.
    """
    for name in labels:
        if name.startswith(PREFIX) and name not in KNOWN:
            close = get_close_matches(name, KNOWN, n=1, cutoff=0.4) or KNOWN
            raise ConfigError(f"label {name!r} is unknown; did you mean {', '.join(close)}?")
    if ROUTE not in labels:
        for name in (PORT, HEALTH):
            if name in labels:
                raise ConfigError(f"label {name!r} says nothing without {ROUTE!r}: add it")
        return None
    port = labels.get(PORT, str(DEFAULT_ROUTE_PORT))
    if not port.isdecimal():
        raise ConfigError(f"label {PORT!r} is {port!r}: give a port from 1 to 65535")
    route = Route(labels[ROUTE], int(port), labels.get(HEALTH, DEFAULT_HEALTH))
    check_entry(f"route/{service}", entry_of(route, ["127.0.0.1"]))
    return route


def read_modes(labels: Mapping[str, str]) -> frozenset[str]:
    """Return in which ways of running the lab a service takes part.

    Raises:
        ConfigError: The label names no such way.
    """
    mode = labels.get(MODE)
    if mode is None:
        return frozenset(MODES)
    if mode not in MODES:
        raise ConfigError(f"label {MODE!r} is {mode!r}: give {' or '.join(MODES)}")
    return frozenset({mode})


def entry_of(route: Route, hosts: list[str]) -> dict[str, object]:
    """Return the control entry of a route: one host for each replica, in their order."""
    return {
        "prefix": route.prefix, "hosts": hosts, "port": route.port, "health": route.health,
    }  # fmt: skip
