"""What a driver of the lab can do: the host's half of breaking things.

Why: drills and commands act on instances by name and need not know whether those are containers or
processes. A driver declares what it can do; a drill that needs more ends with exit code 3 instead
of passing by accident.
A fault of a host is begun under a lease: who began it renews it, and the lab's keeper undoes it
when the lease ends, so that nothing stays broken behind a drill engine that was killed.
Source: design.md, "One topology, two ways to run it".
Not handled: cutting links is the links process's work; a driver only says whether there is one.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from chaos.drivers.host_fault import HostFault as HostFault
from chaos.drivers.host_fault import HostProof as HostProof
from kit.errors import LabEnvironmentError

LINKS_SERVICE = "links"  # docker-compose.yml: it alone can cut a link
DEFAULT_LEASE_S = 3.0  # design.md: as every lease of the lab
NO_ENGINE_HERE = "no Docker socket in here: run it on the host (make up)"


class Capability(StrEnum):
    """One thing a driver may be able to do."""

    START = "start"
    STOP = "stop"
    KILL = "kill"
    PAUSE = "pause"
    RESTART = "restart"
    MEMORY = "memory"
    LOGS = "logs"
    RUN_INSIDE = "run-inside"
    CPU = "cpu"
    MEMORY_LIMIT = "memory-limit"
    CUT = "cut"
    ISOLATE = "isolate"


# What a driver must be able to do for each kind of host fault.
NEEDS: Mapping[str, Capability] = {
    "kill": Capability.KILL,
    "stop": Capability.STOP,
    "pause": Capability.PAUSE,
    "restart": Capability.RESTART,
    "cpu": Capability.CPU,
    "memory": Capability.MEMORY_LIMIT,
    "isolate": Capability.ISOLATE,
}

# What a driver must have for what not every lab can do.
TAKES: Mapping[str, str] = {
    Capability.ISOLATE: "a lab of processes (squall up --mode processes) under Linux, "
    "nft and CAP_NET_ADMIN (root)",
}


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """One instance as its driver sees it.

    Args:
        instance: E.g. ``video.2``.
        service: E.g. ``video``.
        state: running, paused, waiting, done, stopped or failed.
        host: Its address; empty while it has none.
        up_s: Seconds since it was started; None unless it runs.
        exit_code: Of its last end; None if it never ended.
        restarts: Times it was started again by its restart rule.
    """

    instance: str
    service: str
    state: str
    host: str
    up_s: float | None
    exit_code: int | None
    restarts: int

    @property
    def is_up(self) -> bool:
        """Whether it runs (a one-shot that is done counts)."""
        return self.state in ("running", "done")


class Driver(Protocol):
    """Acts on instances: one (``video.2``), or a service (``video``: all its replicas).

    Every method that acts returns once it is done, and raises ConfigError for a target that
    doesn't exist, and LabEnvironmentError when the engine or the supervisor doesn't answer.
    """

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this driver can do in this lab."""

    def instances(self) -> Sequence[InstanceStatus]:
        """Every instance of the lab, in the order of the compose file."""

    def start(self, target: str) -> None:
        """Start what is stopped; what runs is left alone."""

    def stop(self, target: str) -> None:
        """End with SIGTERM, after the grace period with SIGKILL; stays down until `start`."""

    def kill(self, target: str) -> None:
        """End with SIGKILL; stays down until `start`."""

    def pause(self, target: str) -> None:
        """Freeze: sockets stay open, nothing is answered."""

    def resume(self, target: str) -> None:
        """Undo `pause`."""

    def restart(self, target: str) -> None:
        """`stop`, then `start`."""

    def begin(self, fault: HostFault, *, lease_s: float = DEFAULT_LEASE_S) -> None:
        """Do it; returns once it acts (``stop`` and ``restart``: once SIGTERM is sent).

        Args:
            fault: What to do; it is undone after its ``ttl_s``, renewed or not.
            lease_s: Seconds after which it is undone unless it is renewed.

        Raises:
            ConfigError: A value is wrong, the target doesn't exist, or the id was used before.
        """

    def renew(self, fault_ids: Sequence[str], *, lease_s: float = DEFAULT_LEASE_S) -> None:
        """Let faults act so many seconds more; ids that are over or unknown are left alone."""

    def end(self, fault_id: str) -> HostProof:
        """Undo it now and return its proof; a second time only returns the proof.

        Raises:
            ConfigError: No fault of the last minutes has that id.
        """

    def host_faults(self) -> Sequence[HostProof]:
        """Those that act, and those of the last minutes, oldest first."""

    def memory(self) -> Mapping[str, int]:
        """Bytes of each live instance."""

    def logs(self, target: str, lines: int) -> Mapping[str, Sequence[str]]:
        """The last lines that each instance wrote."""

    def run_inside(self, service: str, argv: Sequence[str]) -> int:
        """Run a command where the service's first replica runs; returns its exit code."""


def capabilities_of(services: Container[str], *, isolates: bool) -> frozenset[Capability]:
    """Return what a driver can do that reaches its instances: all, but cut without ``links``.

    Args:
        services: The services of the compose file.
        isolates: Whether it can cut a store node off from the others.
    """
    lacks = set() if LINKS_SERVICE in services else {Capability.CUT}
    return frozenset(Capability) - lacks - (set() if isolates else {Capability.ISOLATE})


def require(driver: Driver, *needs: str) -> None:
    """Refuse to go on with a driver that lacks something.

    Raises:
        LabEnvironmentError: Names what is missing and what the driver can do.
    """
    missing = sorted(set(needs) - set(driver.capabilities))
    if missing and not driver.capabilities:
        raise LabEnvironmentError(f"this needs to {', '.join(missing)}: {NO_ENGINE_HERE}")
    if missing:
        raise LabEnvironmentError(
            f"this lab's driver cannot {', '.join(missing)}; it can "
            f"{', '.join(sorted(driver.capabilities))}"
            + "".join(f"; to {name} takes {TAKES[name]}" for name in missing if name in TAKES)
        )
