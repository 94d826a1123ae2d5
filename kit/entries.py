"""What lies in the control plane: one field per thing said, each with a type of its own.

Why: everybody reads and writes the same hash, so its shapes stand in one place. Writers are checked
(a wrong entry never gets in), readers are lenient (an unknown one is skipped, so that a newer
``squall`` doesn't stop an older process).

    policy/<target>/<name>   {"mode": "on|shadow|off"}
    fault/<id>               a FaultRule; ends ``ttl_s`` after it was written
    station/<target>         {"workers": 8, "mean_ms": 5, "cv": 0.25}
    setting/<target>/<name>  {"value": 256}
    choice/<target>/<name>   {"value": "vegas"}
    drain/<target>           {"drained": true}
    eject/<target>           {"ttl_s": 30}; ends that long after it was written
    route/<service>          {"prefix": "/hello", "hosts": [...], "port": 8000, "health": "/"}
    reset                    {"epoch": 3}
    overlay                  what a drill's arm wants, wholly, while its lease lives

Targets: ``*``, ``video``, ``video.2``; the more specific one wins.
"""

import re
from collections.abc import Mapping
from itertools import chain
from typing import Any, TypeAlias

import msgspec

from faults.rule import FaultRule, check_rule, parse_rule
from kit.choices import check_choice
from kit.errors import ConfigError
from resilience.policy.contract import Mode

OVERLAY_TTL_S = 3.0  # drills.md R8: a lease of 3 s, renewed each second by the engine
OVERLAY_FIELD = "overlay"
RESET_FIELD = "reset"

DEFAULT_ROUTE_PORT = 8000  # a service of one's own listens there unless it says otherwise
DEFAULT_HEALTH = "/"
# What the gateway answers itself: no route of one's own may take it.
RESERVED_PREFIXES = ("/v1", "/docs", "/openapi.json", "/livez", "/readyz")

_SERVICE = re.compile(r"[a-z][a-z0-9-]*")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_PATH = re.compile(r"/[!-~]*")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_TARGET = re.compile(r"\*|[a-z][a-z0-9-]*(\.[1-9][0-9]*)?")


class PolicyEntry(msgspec.Struct, frozen=True):
    """A policy's switch for a target."""

    mode: Mode


class StationEntry(msgspec.Struct, frozen=True):
    """A target's station; None leaves that figure to a less specific entry."""

    workers: int | None = None
    mean_ms: float | None = None
    cv: float | None = None


class SettingEntry(msgspec.Struct, frozen=True):
    """A number that a service reads by name, e.g. the gateway's ``cap``."""

    value: float


class ChoiceEntry(msgspec.Struct, frozen=True):
    """Which of several policies does a job, e.g. ``vegas`` as ``limiter`` (``kit.choices``)."""

    value: str


class DrainEntry(msgspec.Struct, frozen=True):
    """Whether a target gets no new requests."""

    drained: bool


class EjectEntry(msgspec.Struct, frozen=True):
    """The balancers leave a target until this ends: an operator's word, whatever they see of it.

    Args:
        ttl_s: Seconds after it was written, > 0.
        created_ms: When it was written, by control's clock; 0 before.
    """

    ttl_s: float
    created_ms: int = 0


class RouteEntry(msgspec.Struct, frozen=True):
    """A service of one's own behind l7: who is asked for which paths.

    Args:
        prefix: ``/hello`` takes ``/hello`` and everything below it.
        hosts: Address or name of each replica, in their order.
        port: Where they listen.
        health: What active checks ask for; 2xx is well.
    """

    prefix: str
    hosts: list[str]
    port: int = DEFAULT_ROUTE_PORT
    health: str = DEFAULT_HEALTH


class ResetEntry(msgspec.Struct, frozen=True):
    """Counts up; each change makes policies forget and stations empty."""

    epoch: int


class Overlay(msgspec.Struct, frozen=True):
    """What one arm of a drill wants; it lies over everything else while its lease lives.

    Args:
        id: The arm's name.
        holder: Who wrote it, for people.
        ttl_s: Lease; each writing renews it.
        created_ms: When it was written, by control's clock.
        renewed: Counts the renewals.
        policies: Target to policy to mode.
        policy_default: What every policy not named is (drills.md R5: ``off``); None leaves them.
        stations: Target to station.
        settings: Target to name to number.
        choices: Target to name to value.
        drains: Targets that get no new requests.
        faults: Rules; they live exactly as long as they stand here.
        reset_epoch: Added to the ``reset`` entry's.
    """

    id: str
    holder: str = ""
    ttl_s: float = OVERLAY_TTL_S
    created_ms: int = 0
    renewed: int = 0
    policies: dict[str, dict[str, Mode]] = {}
    policy_default: Mode | None = None
    stations: dict[str, StationEntry] = {}
    settings: dict[str, dict[str, float]] = {}
    choices: dict[str, dict[str, str]] = {}
    drains: list[str] = []
    faults: list[FaultRule] = []
    reset_epoch: int = 0


Entry: TypeAlias = (
    PolicyEntry
    | StationEntry
    | SettingEntry
    | ChoiceEntry
    | DrainEntry
    | EjectEntry
    | RouteEntry
    | ResetEntry
    | FaultRule
    | Overlay
)

_TYPES: Mapping[str, type[Any]] = {
    "policy": PolicyEntry,
    "station": StationEntry,
    "setting": SettingEntry,
    "choice": ChoiceEntry,
    "drain": DrainEntry,
    "eject": EjectEntry,
    "route": RouteEntry,
    "fault": FaultRule,
    RESET_FIELD: ResetEntry,
    OVERLAY_FIELD: Overlay,
}
_PARTS = {
    "policy": 3,
    "setting": 3,
    "choice": 3,
    "station": 2,
    "drain": 2,
    "eject": 2,
    "route": 2,
    "fault": 2,
    "reset": 1,
    "overlay": 1,
}


def ttl_s(entry: object) -> float | None:
    """Return how long an entry lives after it was written; None means until it is deleted."""
    return entry.ttl_s if isinstance(entry, FaultRule | EjectEntry | Overlay) else None


def decode_entry(field: str, data: bytes | str) -> Entry | None:
    """Read one stored entry; None when it is of a kind or shape we don't know."""
    kind = _TYPES.get(field.split("/", 1)[0])
    if kind is None:
        return None
    try:
        entry: Entry = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    return entry


def check_entry(field: str, value: object) -> Entry:
    """Check what is about to be written.

    Raises:
        ConfigError: Names the field or figure, its value and what to do.
    """
    parts = field.split("/")
    kind = _TYPES.get(parts[0])
    if kind is None or len(parts) != _PARTS[parts[0]]:
        raise ConfigError(f"control entry {field!r} is unknown: see docs/control.md for the fields")
    if parts[0] in ("policy", "setting", "choice", "station", "drain", "eject"):
        _check_target(parts[1])
    if kind is FaultRule:
        return parse_rule(value)  # type: ignore[arg-type]
    try:
        entry: Entry = value if isinstance(value, kind) else msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"control entry {field!r}: {error}") from error
    _check_values(field, entry)
    return entry


def _check_values(field: str, entry: Entry) -> None:
    if isinstance(entry, StationEntry):
        _check_station(field, entry)
    elif isinstance(entry, EjectEntry):
        if not 0 < entry.ttl_s < float("inf"):
            raise ConfigError(f"{field}: ttl_s is {entry.ttl_s}: give more than 0")
    elif isinstance(entry, RouteEntry):
        _check_route(field, entry)
    elif isinstance(entry, ChoiceEntry):
        check_choice(field.rpartition("/")[2], entry.value)
    elif isinstance(entry, Overlay):
        by_target = (entry.policies, entry.stations, entry.settings, entry.choices, entry.drains)
        for target in chain.from_iterable(by_target):
            _check_target(target)
        for name, value in chain.from_iterable(each.items() for each in entry.choices.values()):
            check_choice(name, value)
        for target, station in entry.stations.items():
            _check_station(f"overlay station {target}", station)
        for rule in entry.faults:
            check_rule(rule)
        if entry.ttl_s <= 0:
            raise ConfigError(f"overlay ttl_s is {entry.ttl_s}: give more than 0")


def _check_station(field: str, entry: StationEntry) -> None:
    for name, value in (("workers", entry.workers), ("mean_ms", entry.mean_ms), ("cv", entry.cv)):
        if value is not None and value < 0:
            raise ConfigError(f"{field}: {name} is {value}: give 0 or more")


def _check_route(field: str, entry: RouteEntry) -> None:
    service = field.partition("/")[2]
    if not _SERVICE.fullmatch(service):
        raise ConfigError(f"{field}: {service!r} is no service's name: give one such as hello")
    if not _PREFIX.fullmatch(entry.prefix):
        raise ConfigError(f"{field}: prefix {entry.prefix!r} is none: give a path such as /hello")
    for taken in RESERVED_PREFIXES:
        if entry.prefix == taken or entry.prefix.startswith(taken + "/"):
            raise ConfigError(
                f"{field}: prefix {entry.prefix!r} is the gateway's own ({taken}): give another"
            )
    if not entry.hosts or not all(_HOST.fullmatch(host) for host in entry.hosts):
        raise ConfigError(f"{field}: hosts {entry.hosts} must be one name or address a replica")
    if not 1 <= entry.port <= 65_535:
        raise ConfigError(f"{field}: port {entry.port}: give one from 1 to 65535")
    if not _PATH.fullmatch(entry.health):
        raise ConfigError(f"{field}: health {entry.health!r} is no path: give one such as /")


def _check_target(target: str) -> None:
    if not _TARGET.fullmatch(target):
        raise ConfigError(f"target {target!r} is not one: give *, a service (video) or video.2")
