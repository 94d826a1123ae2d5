"""What an instance looks like from outside, and what follows from two such looks.

Why: a fault counts as having bitten only where its effect was seen. So the keeper looks before it
acts and again while the fault acts, and whether that proves anything is decided here, the same for
containers and processes.
Source: drills.md R6 (a fault without proof makes a drill inconclusive).
Not handled: whether a limit made requests slow; that is what hypotheses are for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

State = Literal["running", "paused", "stopped", "gone"]

KILLED_CODES = frozenset({137, -9})  # 128 + SIGKILL as engines say it, -SIGKILL as Python does
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Look:
    """One instance at one moment.

    Args:
        state: ``gone`` when nothing of that name exists any more.
        incarnation: Differs whenever it was started anew; empty while it doesn't run.
        exit_code: Of its last end; None if it never ended.
        cpu_s: CPU seconds of this incarnation so far.
        held_s: Seconds for which a CPU limit kept it from running, of this incarnation.
        memory_bytes: Resident; 0 when unknown.
        limits: What its driver must know to restore its limits; ``memory`` is the limit in force
            in bytes, 0 or less for none.
        dropped: Packets that a cut between it and others has swallowed.
        limit_of: What the memory limit counts where that isn't resident memory, for people.
    """

    state: State
    incarnation: str = ""
    exit_code: int | None = None
    cpu_s: float = 0.0
    held_s: float = 0.0
    memory_bytes: int = 0
    limits: Mapping[str, int] = field(default_factory=dict)
    dropped: int = 0
    limit_of: str = ""

    @property
    def is_up(self) -> bool:
        """Whether it lives, frozen or not."""
        return self.state in ("running", "paused")


def is_hit(kind: str, before: Look, now: Look) -> bool:
    """Whether two looks prove that a fault of this kind affected the instance."""
    if not before.is_up or now.state == "gone":
        return False
    if kind == "kill":
        return now.state == "stopped" and now.exit_code in KILLED_CODES
    if kind == "stop":
        return now.state == "stopped"
    if kind == "restart":
        return now.is_up and now.incarnation != before.incarnation
    if kind == "pause":
        return now.state == "paused"
    if kind == "isolate":
        return now.dropped > before.dropped
    if kind == "cpu":
        return now.held_s > _since(before, now).held_s
    return _memory_limit(now) > 0 and _memory_limit(now) != _memory_limit(before)


def tell(kind: str, before: Look, now: Look, seconds: float) -> str:
    """Say what was seen, for people.

    Args:
        kind: The fault's.
        before: Just before it began.
        now: The last look while it acted.
        seconds: Between the two looks.
    """
    if not before.is_up:
        return "was not running"
    if now.state == "gone":
        return "does not exist any more"
    if kind in ("kill", "stop"):
        return f"exit code {now.exit_code}" if now.state == "stopped" else now.state
    if kind == "restart":
        has_ended = now.incarnation != before.incarnation
        return f"{before.incarnation} " + (
            f"became {now.incarnation or now.state}" if has_ended else "is ending"
        )
    if kind == "pause":
        return now.state
    if kind == "isolate":
        return f"{now.dropped} packets to and from other nodes swallowed"
    if kind == "cpu":
        start = _since(before, now)
        rate = (now.cpu_s - start.cpu_s) / seconds if seconds > 0 else 0.0
        return f"used {rate:.2f} cores, held for {now.held_s - start.held_s:.1f} s"
    limit = _memory_limit(now)
    said = f"limit {limit / MIB:.0f} MiB{now.limit_of}" if limit > 0 else "no limit"
    return f"{said}, resident {now.memory_bytes / MIB:.0f} MiB"


def _since(before: Look, now: Look) -> Look:
    """Where the counters began: at the earlier look, or at 0 after a restart in between."""
    return before if before.incarnation == now.incarnation else Look("running")


def _memory_limit(look: Look) -> int:
    return look.limits.get("memory", 0)
