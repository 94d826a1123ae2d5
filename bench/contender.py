"""Contender: one way of guarding a call, ours or a peer's, and the job both do.

What is measured is a *step*: one guarded call, done as cheaply as the package allows and still
correctly. The call itself is ``Work``; it counts how often it ran, so a contender cannot look fast
by taking another path than it says.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

Step = Callable[[], object]
"""One guarded call; async when it returns an awaitable."""

Make = Callable[["Work", "Path"], "Step | Awaitable[Step]"]
"""Sets a contender up for a path; async when it must run on the loop."""


class Path(Enum):
    """Which way through a policy is measured; the value is how often the work runs in a step."""

    HAPPY = 1
    REJECTION = 0
    GIVE_UP = 3

    @property
    def label(self) -> str:
        """What tables call it."""
        return self.name.lower().replace("_", " ")


class WorkError(Exception):
    """What the work fails with, on the path that gives up."""


class Work:
    """A call that does nothing, and counts itself."""

    __slots__ = ("made",)

    def __init__(self) -> None:
        self.made = 0

    def call(self) -> None:
        """Succeed."""
        self.made += 1

    async def acall(self) -> None:
        """Succeed, as a coroutine."""
        self.made += 1

    def fail(self) -> None:
        """Fail."""
        self.made += 1
        raise WorkError

    async def afail(self) -> None:
        """Fail, as a coroutine."""
        self.made += 1
        raise WorkError


@dataclass(frozen=True, slots=True)
class Contender:
    """One way of doing a job.

    Args:
        name: What tables call it.
        make: Sets it up; raises ModuleNotFoundError where its package is not installed.
        package: The distribution it comes from; "" when it is ours.
    """

    name: str
    make: Make
    package: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """What a policy of ours does, and which peers do the same.

    Args:
        policy: Its module, e.g. ``sre_breaker``; what ``--policy`` takes.
        ours: The policy.
        peers: Those that do this job; empty when none of the eight does.
        paths: Which ways through it are measured.
    """

    policy: str
    ours: Contender
    peers: tuple[Contender, ...] = ()
    paths: tuple[Path, ...] = (Path.HAPPY, Path.REJECTION)


@dataclass(frozen=True, slots=True)
class Chain:
    """Several policies one inside the other, as an adapter lays them.

    Args:
        name: ``server`` or ``client``, and what is in it.
        layers: From the outermost to the innermost.
        make: Sets the chain up around the work.
        bare: The same call with nothing around it.
        aim_us: CPU microseconds it may take beyond the bare call; None where none is stated.
    """

    name: str
    layers: str
    make: Callable[[Work], Step]
    bare: Callable[[Work], Step]
    aim_us: float | None
