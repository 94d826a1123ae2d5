"""What a driver of the lab can do: the host's half of breaking things.

Why: drills and commands act on instances by name and need not know whether those are containers or
processes. A driver declares what it can do; a drill that needs more ends with exit code 3 instead
of passing by accident.
Source: design.md, "One topology, two ways to run it".
Not handled: cutting links and limiting CPU, which no driver declares yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from kit.errors import LabEnvironmentError


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
    """Acts on instances. A target is an instance (``video.2``) or a service (``video``: all its
    replicas).

        Every method that acts returns once it is done, and raises ConfigError for a target that
        doesn't exist, and LabEnvironmentError when the engine or the supervisor doesn't answer.
    """

    capabilities: frozenset[Capability]

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

    def memory(self) -> Mapping[str, int]:
        """Bytes of each live instance."""

    def logs(self, target: str, lines: int) -> Mapping[str, Sequence[str]]:
        """The last lines that each instance wrote."""

    def run_inside(self, service: str, argv: Sequence[str]) -> int:
        """Run a command where the service's first replica runs; returns its exit code."""


def require(driver: Driver, *needs: str) -> None:
    """Refuse to go on with a driver that lacks something.

    Raises:
        LabEnvironmentError: Names what is missing and what the driver can do.
    """
    missing = sorted(set(needs) - set(driver.capabilities))
    if missing:
        raise LabEnvironmentError(
            f"this lab's driver cannot {', '.join(missing)}; it can "
            f"{', '.join(sorted(driver.capabilities))}"
        )
