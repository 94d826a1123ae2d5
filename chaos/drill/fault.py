"""A fault of a drill: one shape for the four depths at which the lab can be broken.

Why: whoever writes a drill says what breaks, where and for how long; whether a process does it to
its requests, a link to its bytes, the driver to a whole instance or a crowd of clients to the front
door follows from the kind and the target. So this file also says what a fault needs of the lab.
Source: design.md, "Faults, drills, verdicts"; kinds and params: ``faults.rule`` (application and
wire), ``chaos.drivers.host_fault``.
"""

import re
from collections.abc import Callable, Mapping

import msgspec

from chaos.drivers import host_fault
from faults.rule import LINK_PREFIX
from kit.source_types import Part

CUT = "cut"  # of a link: the wire kind `down`, under the name that people use for it
DOWN = "down"
CONTROL = "control"
SLOWLORIS = "slowloris"
CLIENTS = "clients"  # the target of what is done from outside
RESTART = "restart"
DETACH = "detach"  # a store's primary drops its replica; the engine tells it to

NEEDS: Mapping[str, str] = {
    "kill": "kill",
    "pause": "pause",
    "stop": "stop",
    "restart": "restart",
    "cpu": "cpu",
    "memory": "memory-limit",
    "isolate": "isolate",
}
"""What a driver must be capable of, by kind; a fault of a link needs ``cut``."""

UNSETTLING = frozenset({"block", "burn", *host_fault.KINDS})
"""Kinds that hold up their target's event loop on purpose, so that its lag is no doubt (R6)."""

KNOCKING_OUT = frozenset(host_fault.KINDS)
"""Kinds under which their target may be silent."""

_SHARD_ROLE = re.compile(r"shard\.([1-9][0-9]*)\.(primary|replica)")
_PARAMS = (
    "ms", "jitter_ms", "every_ms", "code", "factor", "cores", "mb", "kbps", "bytes", "variation",
    "us", "stream", "connections", "rate",
)  # fmt: skip


class Fault(Part, frozen=True):
    """A fault in its window.

    Args:
        kind: One that `squall fault add` knows.
        on: A service, a replica or ``*``; ``link:gateway>video``; ``shard.1.primary``, looked up
            once, when the fault begins.
        seconds: How long (``for`` in the file); a ``restart`` may leave it out.
        at: Seconds since the fault phase began.
        route: Only this one; "" for all.
        tenant: Only this one's; "" for all.
        share: Of the requests, connections, commands or streams that match, 0..1.
        ms: Latency, or length of a block, or CPU burnt per request.
        jitter_ms: Of a latency.
        every_ms: Of a block.
        code: Of an error, or with which ``reset_stream`` resets.
        factor: By which ``slow`` lengthens service times.
        cores: What ``cpu`` leaves.
        mb: What ``memory`` leaves.
        kbps: Of ``bandwidth``, kilobytes a second.
        bytes: Of ``limit_data`` and ``slicer``.
        variation: Of a slice's size, in bytes.
        us: Between slices.
        stream: ``upstream`` or ``downstream``, of a link.
        connections: Of ``slowloris``: how many at most; ``ms`` is between two bytes of one.
        rate: Of ``slowloris``: new ones a second.
    """

    kind: str
    on: str
    seconds: float = msgspec.field(name="for", default=0.0)
    at: float = 0.0
    route: str = ""
    tenant: str = ""
    share: float = 1.0
    ms: float | None = None
    jitter_ms: float | None = None
    every_ms: float | None = None
    code: str | int | None = None
    factor: float | None = None
    cores: float | None = None
    mb: float | None = None
    kbps: float | None = None
    bytes: float | None = None
    variation: float | None = None
    us: float | None = None
    stream: str | None = None
    connections: int | None = None
    rate: float | None = None

    @property
    def is_host(self) -> bool:
        """Whether a driver does it, to whole instances."""
        return self.kind in host_fault.KINDS

    @property
    def is_wire(self) -> bool:
        """Whether a link does it, to the bytes between two."""
        return self.on.startswith(LINK_PREFIX)

    @property
    def is_crowd(self) -> bool:
        """Whether clients do it, from outside (``loadtests.slowloris``)."""
        return self.kind == SLOWLORIS

    @property
    def is_at_once(self) -> bool:
        """Whether it is done and over, so that it has no length of its own."""
        return self.kind in (RESTART, DETACH)

    @property
    def is_detach(self) -> bool:
        """Whether the engine tells a store's primary to drop its replica."""
        return self.kind == DETACH

    @property
    def rule_kind(self) -> str:
        """Its kind as the control plane knows it."""
        return DOWN if self.kind == CUT else self.kind

    @property
    def need(self) -> str | None:
        """What the lab must be capable of; None for faults that every lab has."""
        return "cut" if self.is_wire else NEEDS.get(self.kind)

    @property
    def silences_control(self) -> bool:
        """Whether the control plane may not answer while it acts."""
        return self.is_host and service_of(self.on) == CONTROL

    def params(self) -> dict[str, float | int | str]:
        """Return what a fault of this kind takes."""
        given = {name: getattr(self, name) for name in _PARAMS}
        return {name: value for name, value in given.items() if value is not None}

    def ends_at_s(self, phase_s: float) -> float:
        """Return when it is over, in seconds of a fault phase of that length."""
        return phase_s if self.is_at_once and not self.seconds else self.at + self.seconds

    def describe(self, target: str = "") -> str:
        """Say it in words, e.g. ``latency (ms 2000) on comment``."""
        params = ", ".join(f"{name} {_text(value)}" for name, value in self.params().items())
        return f"{self.kind}{f' ({params})' if params else ''} on {target or self.on}"


def service_of(target: str) -> str:
    """Return the service of an instance; a service is its own."""
    head, _, replica = target.rpartition(".")
    return head if head and replica.isdecimal() else target


def ends_of(link: str) -> tuple[str, str]:
    """Return a link target's client and server; "" for what isn't there."""
    client, _, server = link.removeprefix(LINK_PREFIX).partition(">")
    return client, server


def names_in(target: str) -> list[str]:
    """Return the services and instances that a target names; no shard role, clients or ``*``."""
    parts = ends_of(target) if target.startswith(LINK_PREFIX) else (target,)
    nobody = ("", "*", CLIENTS)
    return [part for part in parts if part not in nobody and not _SHARD_ROLE.fullmatch(part)]


def has_shard_role(target: str) -> bool:
    """Whether a target must be looked up when its fault begins."""
    return _SHARD_ROLE.search(target) is not None


def replace_shard_role(target: str, node: Callable[[int, str], str]) -> str:
    """Put a node's name where a target says ``shard.N.role``.

    Args:
        target: Any target.
        node: Names the node that now has a role in a shard.
    """
    return _SHARD_ROLE.sub(lambda found: node(int(found[1]), found[2]), target)


def _text(value: float | int | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
