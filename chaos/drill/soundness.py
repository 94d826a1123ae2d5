"""Whether an arm may be judged at all: pure checks of the measurement itself.

Why: a verdict from a generator that fell behind, a loop that stood still or a fault that never
bit is worse than none. Every check that fails makes the drill inconclusive, with its figure.
Source: drills.md R1 (steady state), R6.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MIN_SENT_SHARE = 0.99
MAX_GENERATOR_LAG_P99_MS = 50.0  # here 4 to 17 ms at 50 to 300 a second
MAX_LOOP_LAG_P99_MS = 100.0
MAX_CPU_SHARE = 0.6  # of the machine's cores, under the fault


@dataclass(frozen=True, slots=True)
class Doubt:
    """One check that failed.

    Args:
        check: Its name, e.g. ``generator_lag``.
        message: The figure and what it was held against.
    """

    check: str
    message: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """What is known of how an arm was measured.

    Args:
        arm: Its name.
        scheduled: Arrivals that were due.
        sent: Of them, those that left.
        lag_p99_ms: The generator's.
        loop_lag_p99_ms: By instance.
        unsettled: Services or instances whose loop a fault holds up on purpose; ``*`` for all.
        cores_used: Mean under the fault, generator included.
        cores: The machine's.
        steady_share: In time before the fault; None when there was no steady phase.
        steady_wanted: What it must be.
        proofs: Fault id to how often it bit.
        lease_lapsed: Whether the arm's settings were gone for a while.
    """

    arm: str
    scheduled: int
    sent: int
    lag_p99_ms: float
    loop_lag_p99_ms: Mapping[str, float] = field(default_factory=dict)
    unsettled: Sequence[str] = ()
    cores_used: float = 0.0
    cores: float = 1.0
    steady_share: float | None = None
    steady_wanted: float = 0.0
    proofs: Mapping[str, float] = field(default_factory=dict)
    lease_lapsed: bool = False


def doubts(measured: Measurement) -> list[Doubt]:
    """Return the checks that an arm fails; [] when it may be judged."""
    found = [*_generator_doubts(measured), *_lab_doubts(measured)]
    return [Doubt(doubt.check, f"{measured.arm} arm: {doubt.message}") for doubt in found]


def _generator_doubts(measured: Measurement) -> list[Doubt]:
    found = []
    share = measured.sent / measured.scheduled if measured.scheduled else 0.0
    if share < MIN_SENT_SHARE:
        found.append(
            Doubt(
                "sent",
                f"only {measured.sent} of {measured.scheduled} arrivals were sent "
                f"(at least {MIN_SENT_SHARE:.0%} must be)",
            )
        )
    if measured.lag_p99_ms > MAX_GENERATOR_LAG_P99_MS:
        found.append(
            Doubt(
                "generator_lag",
                f"the generator sent {measured.lag_p99_ms:.0f} ms late "
                f"(p99; at most {MAX_GENERATOR_LAG_P99_MS:.0f})",
            )
        )
    return found


def _loop_doubts(measured: Measurement) -> list[Doubt]:
    """Return one doubt, however many loops were late: a machine too busy makes all of them late."""
    late = {
        instance: lag_ms
        for instance, lag_ms in measured.loop_lag_p99_ms.items()
        if lag_ms > MAX_LOOP_LAG_P99_MS
        and not {instance, instance.partition(".")[0], "*"} & set(measured.unsettled)
    }
    if not late:
        return []
    worst = max(late, key=lambda instance: late[instance])
    others = f"; {len(late)} loops were too late" if len(late) > 1 else ""
    return [
        Doubt(
            "loop_lag",
            f"the loop of {worst} was {late[worst]:.0f} ms late "
            f"(p99; at most {MAX_LOOP_LAG_P99_MS:.0f}{others})",
        )
    ]


def _lab_doubts(measured: Measurement) -> list[Doubt]:
    found = _loop_doubts(measured)
    budget = MAX_CPU_SHARE * measured.cores
    if measured.cores_used > budget:
        found.append(
            Doubt(
                "cpu",
                f"{measured.cores_used:.2f} cores were used under the fault "
                f"(at most {budget:.2f} of {measured.cores:g})",
            )
        )
    if measured.steady_share is not None and measured.steady_share < measured.steady_wanted:
        found.append(
            Doubt(
                "steady_state",
                f"before the fault {measured.steady_share:.2f} were answered in time "
                f"(at least {measured.steady_wanted:.2f})",
            )
        )
    for fault_id, hits in measured.proofs.items():
        if hits <= 0:
            found.append(Doubt("no_proof", f"the fault {fault_id} never bit"))
    if measured.lease_lapsed:
        found.append(Doubt("lease", "the engine didn't renew its settings in time"))
    return found
