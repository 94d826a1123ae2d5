"""A fault of a host: what is done to whole instances, checked before anything is touched.

Why: kill, pause, stop, restart, isolate and limits of CPU and memory are not rules that processes
read from control; they are done to processes by whoever holds them. As a value such a fault can be
checked, written to disk before it acts, and undone by somebody else than who began it.
Source: Pumba's commands (kill, pause, stop, restart); docker update's limits; design.md, "Faults,
drills, verdicts".
Not handled: cutting links between clients and servers (the wire kind ``down``), and whether the
target exists (drivers know).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from kit.errors import ConfigError

MAX_TTL_S = 86_400.0  # a day, as for rules (faults/rule.py): longer is a forgotten fault
MIN_CORES = 0.01  # Docker's least: a quota of 1 ms in 100 ms
MAX_CORES = 64.0
MIN_MEMORY_MB = 6.0  # Docker's least since 20.10; runc needs as much to start anything
MAX_MEMORY_MB = 65_536.0

PARAMS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "kill": {},
    "pause": {},
    "stop": {},
    "restart": {},
    "isolate": {},
    "cpu": {"cores": (MIN_CORES, MAX_CORES)},
    "memory": {"mb": (MIN_MEMORY_MB, MAX_MEMORY_MB)},
}
KINDS = tuple(PARAMS)
ISOLATE = "isolate"

_TARGET = re.compile(r"[a-z][a-z0-9-]*(\.[1-9][0-9]*)?")
_STORE = re.compile(r"store-[1-9][0-9]*(\.1)?")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class HostFault:
    """One fault of a host.

    Args:
        id: 1 to 64 of ``[A-Za-z0-9._-]``; proof is kept under it.
        kind: One of ``KINDS``.
        target: An instance (``video.2``) or a service (``video``: all its replicas).
        ttl_s: It is undone after so many seconds, whoever still renews it.
        params: ``cores`` for cpu, ``mb`` for memory (2**20 bytes, resident); none for the others.
    """

    id: str
    kind: str
    target: str
    ttl_s: float
    params: Mapping[str, float] = field(default_factory=dict)

    def describe(self) -> str:
        """Say it in a few words, e.g. ``cpu cores=0.1 on video.1``."""
        words = [self.kind, *(f"{name}={value:g}" for name, value in self.params.items())]
        return f"{' '.join(words)} on {self.target}"


@dataclass(frozen=True, slots=True)
class HostProof:
    """What a fault of a host has done, as far as it was seen.

    Args:
        id: The fault's.
        kind: The fault's.
        target: As it was asked for.
        instances: What the target meant when it began.
        hits: Instances that were seen to be affected; observed, never assumed.
        seconds: How long it has acted, or acted.
        detail: What was seen, for people.
        is_over: Whether everything it did is undone.
        params: The fault's.
        left_s: Seconds until it is undone unless it is renewed; 0 once it is over.
        is_renewed: Whether somebody must renew it to keep it, as a drill does.
    """

    id: str
    kind: str
    target: str
    instances: tuple[str, ...]
    hits: int
    seconds: float
    detail: str
    is_over: bool
    params: Mapping[str, float] = field(default_factory=dict)
    left_s: float = 0.0
    is_renewed: bool = False


def check_host_fault(fault: HostFault) -> None:
    """Check a fault's values.

    Raises:
        ConfigError: Names the field, its value and what is allowed; for a kind or param the
            nearest.
    """
    _require(bool(_ID.fullmatch(fault.id)), "id", fault.id, "give 1 to 64 letters, digits, . _ -")
    if fault.kind not in PARAMS:
        raise ConfigError(f"host fault kind {fault.kind!r} is unknown: {_nearest(fault.kind)}")
    if fault.target.startswith("link:"):
        raise ConfigError(
            f"host fault {fault.kind} acts on a service or an instance, not on {fault.target}: "
            "to cut a link use the kind down"
        )
    _require(bool(_TARGET.fullmatch(fault.target)), "target", fault.target, "give video or video.2")
    if fault.kind == ISOLATE:
        good = bool(_STORE.fullmatch(fault.target))
        _require(good, "target", fault.target, "isolate cuts a store node off: give store-1")
    _require(
        _is_number(fault.ttl_s) and 0.0 < fault.ttl_s <= MAX_TTL_S,
        *("ttl_s", fault.ttl_s, f"give more than 0 and up to {MAX_TTL_S:.0f}"),
    )
    _check_params(fault)


def read_host_fault(value: Mapping[str, Any]) -> HostFault:
    """Make a fault of decoded JSON and check it.

    Raises:
        ConfigError: As `check_host_fault`, or a field is missing or unknown.
    """
    try:
        fault = HostFault(**value)
    except TypeError as error:
        raise ConfigError(f"host fault: {str(error).removeprefix('HostFault.')}") from error
    check_host_fault(fault)
    return fault


def _check_params(fault: HostFault) -> None:
    ranges = PARAMS[fault.kind]
    for name in fault.params:
        if name not in ranges:
            hint = f"it takes {', '.join(ranges)}" if ranges else "it takes none"
            raise ConfigError(f"host fault {fault.kind} has no param {name!r}: {hint}")
    for name, (least, most) in ranges.items():
        value = fault.params.get(name)
        _require(
            _is_number(value) and value is not None and least <= value <= most,
            *(name, value, f"give a number from {least:g} to {most:g}"),
        )


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(float(value))
    )


def _nearest(kind: str) -> str:
    close = get_close_matches(kind, KINDS, n=3, cutoff=0.4) or KINDS
    return f"did you mean {', '.join(close)}?"


def _require(holds: bool, field_name: str, value: object, advice: str) -> None:
    if not holds:
        raise ConfigError(f"host fault {field_name} is {value!r}: {advice}")
