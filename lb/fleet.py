"""A fleet of backends as a proxy sees it, as rows of a table: for ``squall lb backends``.

Why here: l7 (once for the gateways and once for each service of one's own) and l4 show the same
columns, and neither the command nor a metric should know which of them it asks.
Source: HAProxy's ``show stat``, under plain names: status, weight, scur, stot, chkfail, lastchg.
Not handled: when an operator's ejection ends; control knows, and the command adds it.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from kit.entries import RouteEntry
from kit.members import Member
from kit.state import LabState
from lb.policy.balancer import Balancer
from lb.policy.view import EndpointView
from lb.tallies import Tallies

DRAINED = "drained"


class Fleet(Protocol):
    """The backends of one service (``lb.l7.proxy`` and ``lb.l4.server`` are such)."""

    @property
    def service(self) -> str:
        """Whose replicas these are."""

    @property
    def balancer(self) -> Balancer:
        """Who picks."""

    @property
    def tallies(self) -> Tallies:
        """What came of it."""

    def connections_to(self, name: str) -> int:
        """Connections open to one of them, idle or not."""


def is_held_out(state: LabState) -> Callable[[str], bool]:
    """Return whether an operator ejected a replica, by its name."""

    def asked(instance: str) -> bool:
        return state.is_ejected(*_split(instance))

    return asked


def drained_names(service: str, state: LabState, members: Iterable[Member]) -> list[str]:
    """Name a service's replicas that get no new request: live ones, and those named by a drain."""
    names = [one.instance for one in members if one.service == service]
    drains = (field.partition("/") for field in state.entries)
    names += [name for kind, _, name in drains if kind == "drain" and _split(name)[0] == service]
    route = state.entries.get(f"route/{service}")
    if isinstance(route, RouteEntry):
        names += [f"{service}.{number}" for number, _ in enumerate(route.hosts, start=1)]
    return [name for name in sorted(set(names) - {service}) if state.is_drained(*_split(name))]


def table_of(fleet: Fleet, drained: Iterable[str], now_s: float | None = None) -> dict[str, Any]:
    """Return one fleet's table as plain JSON.

    Args:
        fleet: Whose.
        drained: Replicas that are there and get nothing new.
        now_s: Monotonic; None: now.
    """
    now_s = time.monotonic() if now_s is None else now_s
    view = fleet.balancer.look(now_s)
    loads = fleet.balancer.loads()
    rows = [_row(fleet, one, loads, now_s) for one in view.endpoints]
    known = {one.name for one in view.endpoints}
    rows += [_gone_row(fleet, name, loads) for name in drained if name not in known]
    return {
        "service": fleet.service,
        "algorithm": view.algorithm,
        "panicking": view.is_panicking,
        "backends": sorted(rows, key=lambda row: _split(row["name"])),
    }


def tables_of(
    fleets: Iterable[Fleet], state: LabState, members: Iterable[Member]
) -> list[dict[str, Any]]:
    """Return a process's tables, one a fleet: its answer to the ask ``lb.backends``."""
    known = list(members)
    return [table_of(one, drained_names(one.service, state, known)) for one in fleets]


def _row(fleet: Fleet, one: EndpointView, loads: Mapping[str, int], now_s: float) -> dict[str, Any]:
    until_s = one.ejected_until_s
    return {
        "name": one.name,
        "state": one.state,
        "picked": one.is_candidate,
        "weight": one.weight,
        "in_flight": loads.get(one.name, 0),
        "connections": fleet.connections_to(one.name),
        **_counts(fleet, one.name),
        "missed_checks": one.missed_checks,
        "ejected_by": one.ejected_by,
        "ejected_for_s": None if until_s is None else round(until_s - now_s, 1),
        "changed_ago_s": round(now_s - one.changed_s, 1),
    }


def _gone_row(fleet: Fleet, name: str, loads: Mapping[str, int]) -> dict[str, Any]:
    in_flight = loads.get(name, 0)
    return {
        "name": name,
        "state": DRAINED,
        "picked": False,
        "weight": None,
        "in_flight": in_flight,
        "connections": in_flight,  # the idle ones are closed
        **_counts(fleet, name),
        "missed_checks": 0,
        "ejected_by": "",
        "ejected_for_s": None,
        "changed_ago_s": None,
    }


def _counts(fleet: Fleet, name: str) -> dict[str, Any]:
    tally = fleet.tallies.of(name)
    failures, p99_s = tally.failures(), tally.p99_s()
    return {
        "picks": tally.picks,
        "failed": sum(failures.values()),
        "failures": failures,
        "p99_ms": None if p99_s is None else round(p99_s * 1000, 2),
    }


def _split(instance: str) -> tuple[str, int]:
    """Return service and number; a name without a number, as a file may give one, has none."""
    service, _, number = instance.rpartition(".")
    return (service, int(number)) if number.isdecimal() else (instance, 0)


def names_of(tables: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Name every backend in some tables."""
    for table in tables:
        yield from (row["name"] for row in table["backends"])
