"""What one arm gave: its measurement, its arrivals, its evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.drill.arms import Arm, FaultWindow
from chaos.drill.fault import UNSETTLING
from chaos.drill.metrics import Arrivals, percentile_ms
from chaos.drill.probes import Evidence
from chaos.drill.records import Record
from chaos.drill.schema import FAULT, STEADY, Drill
from chaos.drill.soundness import Measurement

LOAD_FAULT_FACTOR = 1.5  # a fault phase with that much more load than before is itself a fault


@dataclass(slots=True)
class ArmOutcome:
    """One arm, run to its end.

    Args:
        arm: Which.
        arrivals: What became of every request.
        load: What the generator says of itself (load.json).
        proofs: Fault id to figures.
        faults: What acted, when and on what, as it really was.
        evidence: Requests told by their hops.
        lag_p99_ms: Event-loop lag by instance.
        cores_used: Mean under the fault, generator included.
        lease_lapsed: Whether its settings were gone for a while.
        live_after_ms: How long its settings took to reach everybody.
    """

    arm: Arm
    arrivals: Arrivals
    load: Mapping[str, Any] = field(default_factory=dict)
    proofs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    faults: Sequence[FaultWindow] = ()
    evidence: Sequence[Evidence] = ()
    lag_p99_ms: Mapping[str, float] = field(default_factory=dict)
    cores_used: float = 0.0
    lease_lapsed: bool = False
    live_after_ms: float = 0.0


def measurement(drill: Drill, outcome: ArmOutcome, cores: float) -> Measurement:
    """Return what decides whether an arm may be judged."""
    steady = outcome.arrivals.of(STEADY)
    in_time = sum(record.is_within(outcome.arrivals.budget_s) for record in steady)
    return Measurement(
        arm=outcome.arm.name,
        scheduled=int(outcome.load.get("scheduled", 0)),
        sent=int(outcome.load.get("sent", 0)),
        lag_p99_ms=float(outcome.load.get("lag_p99_ms", 0.0)),
        loop_lag_p99_ms=outcome.lag_p99_ms,
        unsettled=unsettled(outcome),
        cores_used=outcome.cores_used,
        cores=cores,
        steady_share=in_time / len(steady) if steady else None,
        steady_wanted=drill.steady_share,
        proofs={fault["id"]: _hits(fault["proof"]) for fault in fault_rows(drill, outcome)},
        lease_lapsed=outcome.lease_lapsed,
    )


def unsettled(outcome: ArmOutcome) -> list[str]:
    """Return services and instances whose event loop a fault held up on purpose."""
    names = []
    for window in outcome.faults:
        if window.fault.kind in UNSETTLING:
            names += [*window.names, *outcome.proofs.get(window.id, {}).get("instances", ())]
            names += ["*"] if window.target == "*" else []
    return sorted(set(names))


def fault_rows(drill: Drill, outcome: ArmOutcome) -> list[dict[str, Any]]:
    """Return an arm's faults, each with the proof that it bit.

    A spike of load is one of them, and so is the store's growth.
    """
    rows = [
        {
            "id": window.id,
            "kind": window.fault.kind,
            "target": window.target,
            "words": window.describe(),
            "from_s": round(window.window.from_s, 2),
            "to_s": round(window.window.to_s, 2),
            "proof": dict(outcome.proofs.get(window.id, {"hits": 0})),
        }
        for window in outcome.faults
    ]
    others = (_load_spike(drill, outcome), _growth(drill, outcome))
    return rows + [each for each in others if each]


def phase_rows(outcome: ArmOutcome) -> list[dict[str, Any]]:
    """Return one table row per phase."""
    return [_phase_row(outcome, name) for name in outcome.arrivals.windows]


def _phase_row(outcome: ArmOutcome, name: str) -> dict[str, Any]:
    arrivals = outcome.arrivals
    window, records = arrivals.windows[name], arrivals.of(name)
    kinds = [record.kind(arrivals.budget_s) for record in records]
    latencies_ms = sorted(r.latency_s * 1000 for r in records if r.latency_s is not None)
    reasons: dict[str, int] = {}
    for record in records:
        if record.reason:
            reasons[record.reason] = reasons.get(record.reason, 0) + 1
    return {
        "name": name,
        "from_s": window.from_s,
        "to_s": window.to_s,
        "scheduled": len(records),
        "sent": sum(record.is_sent for record in records),
        **{
            kind: kinds.count(kind) for kind in ("in_time", "late", "rejected", "expired", "failed")
        },
        "degraded": sum(bool(record.degraded) for record in records),
        "reasons": reasons,
        "p50_ms": percentile_ms(latencies_ms, 0.5),
        "p95_ms": percentile_ms(latencies_ms, 0.95),
    }


def _load_spike(drill: Drill, outcome: ArmOutcome) -> dict[str, Any] | None:
    if STEADY not in outcome.arrivals.windows:
        return None  # a short arm, or a cell of an experiment: there is no load to be a spike over
    steady = sum(drill.phase(STEADY).rates.values())
    planned = sum(drill.phase(FAULT).rates.values())
    if drill.capacity is None or planned < LOAD_FAULT_FACTOR * steady:
        return None
    window = outcome.arrivals.windows[FAULT]
    sent: Sequence[Record] = [r for r in outcome.arrivals.of(FAULT) if r.is_sent]
    offered = len(sent) / window.seconds
    over = offered > LOAD_FAULT_FACTOR * drill.capacity.rps
    return {
        "id": f"{drill.drill}-load",
        "kind": "load",
        "target": drill.capacity.of,
        "words": f"load of {offered:.0f}/s on {drill.capacity.of}",
        "from_s": window.from_s,
        "to_s": window.to_s,
        "proof": {
            "hits": len(sent) if over else 0,
            "offered_rps": round(offered, 1),
            "capacity_rps": drill.capacity.rps,
        },
    }


def _growth(drill: Drill, outcome: ArmOutcome) -> dict[str, Any] | None:
    """The store's growth bites when slots moved and each mover that should be was killed."""
    if drill.growth is None or FAULT not in outcome.arrivals.windows:
        return None
    window, grown = outcome.arrivals.windows[FAULT], outcome.arrivals.readings.grown
    kills = len(drill.growth.kills_after_s)
    bit = grown is not None and grown.gained > 0 and grown.kills == kills
    return {
        "id": f"{drill.drill}-growth",
        "kind": "growth",
        "target": "store",
        "words": f"a shard added to the store, its mover killed {kills} times",
        "from_s": window.from_s,
        "to_s": window.to_s,
        "proof": {
            "hits": grown.moved if grown and bit else 0,
            **(grown._asdict() if grown else {}),
        },
    }


def _hits(proof: Mapping[str, Any]) -> float:
    return float(proof.get("hits", 0))
