"""Two runs side by side: each figure, the difference, and whether it is more than chance.

Pure. Figures are of one phase of each arm that both runs have: *fault* where there is one. A load
on its own is measured over all its phases but the warm-up.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.drill.judge import INCONCLUSIVE
from chaos.drill.load_report import WARMUP
from chaos.drill.records import Record
from chaos.drill.schema import FAULT
from chaos.report.interval import CONFIDENCE, Estimate, batch_mean, difference, percentile, share
from chaos.report.run import ArmRun, Run
from chaos.report.series import FAILED, LATE, PERCENTILES, REJECTED, kind_of, latencies_ms

SCHEMA = "squall.compare/1"
HEAD = ("arm", "figure", "A", "B", "B − A", "95 % of the difference", "")
DIFFERS, CHANCE, UNKNOWN = "differs", "within chance", "too few samples"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both runs.

    Args:
        arm: In which arm.
        figure: Its name, unit included.
        a: Of run A; None when nothing was observed.
        b: Of run B; None when nothing was observed.
    """

    arm: str
    figure: str
    a: Estimate | None
    b: Estimate | None

    @property
    def difference(self) -> Estimate | None:
        """B − A; None when one of them is missing."""
        return None if self.a is None or self.b is None else difference(self.a, self.b)

    @property
    def finding(self) -> str:
        """Whether the difference is more than chance explains."""
        apart = self.difference
        if apart is not None and apart.excludes_zero:
            return DIFFERS
        return CHANCE if apart is not None and apart.is_bounded else UNKNOWN


def compare(a: Run, b: Run) -> list[Row]:
    """Return the rows of all arms that both runs have."""
    rows = []
    for name, arm in a.arms.items():
        other = b.arms.get(name)
        if other is None:
            continue
        ours, theirs = figures(arm), figures(other)
        rows += [Row(name, figure, ours[figure], theirs[figure]) for figure in ours]
    return rows


def warnings(a: Run, b: Run) -> list[str]:
    """Say what makes two runs hard to compare."""
    said = []
    if a.name != b.name:
        said.append(f"these are runs of two drills: {a.name} and {b.name}")
    doubtful = [run for run in (a, b) if run.verdict.get("verdict") == INCONCLUSIVE]
    said += [f"{run.label} is inconclusive" for run in doubtful]
    seeds = [run.verdict.get("seed") for run in (a, b)]
    if seeds[0] != seeds[1]:
        said.append(f"their arrivals differ: seed {seeds[0]} and {seeds[1]}")
    machines = [(run.machine.get("cpu"), run.machine.get("cores")) for run in (a, b)]
    if machines[0] != machines[1] and all(run.machine for run in (a, b)):
        said.append("they ran on different machines")
    if not set(a.arms) & set(b.arms):
        said.append("they have no arm in common")
    return said


def figures(arm: ArmRun) -> dict[str, Estimate | None]:
    """Return an arm's figures with their intervals."""
    records, seconds = measured(arm)
    budget_s = arm.arrivals.budget_s

    def share_of(test: Callable[[Record], bool]) -> Estimate | None:
        return share(sum(map(test, records)), len(records))

    latencies = latencies_ms(records)
    return {
        "answered in time, per second": batch_mean(_per_second(records, seconds, budget_s)),
        "answered in time, share": share_of(lambda r: r.is_within(budget_s)),
        "late, share": share_of(lambda r: kind_of(r, budget_s) == LATE),
        "rejected, share": share_of(lambda r: kind_of(r, budget_s) == REJECTED),
        "failed, share": share_of(lambda r: kind_of(r, budget_s) == FAILED),
        "degraded, share": share_of(lambda r: bool(r.degraded)),
        **{f"{name}, ms": percentile(latencies, of) for name, of in PERCENTILES.items()},
    }


def measured(arm: ArmRun) -> tuple[Sequence[Record], Sequence[int]]:
    """Return the arrivals that figures are of, and the whole seconds in which they were due."""
    windows = arm.arrivals.windows
    chosen = [windows[FAULT]] if FAULT in windows else [
        window for name, window in windows.items() if name != WARMUP
    ]  # fmt: skip
    records = [record for window in chosen for record in window.of(arm.arrivals.records)]
    seconds = [s for w in chosen for s in range(round(w.from_s), round(w.to_s))]
    return records, seconds


def as_json(a: Run, b: Run, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the object that ``squall compare --json`` prints (without its schema)."""
    return {
        "a": {"run": a.label, "verdict": a.verdict.get("verdict")},
        "b": {"run": b.label, "verdict": b.verdict.get("verdict")},
        "confidence": CONFIDENCE,
        "warnings": warnings(a, b),
        "figures": [
            {
                "arm": row.arm,
                "figure": row.figure,
                "a": _estimate(row.a),
                "b": _estimate(row.b),
                "difference": _estimate(row.difference),
                "finding": row.finding,
            }
            for row in rows
        ],
    }


def text_row(row: Row) -> list[str]:
    """Return a row of HEAD, for people."""
    apart = row.difference
    return [
        row.arm,
        row.figure,
        _text(row.a),
        _text(row.b),
        "–" if apart is None else f"{apart.value:+.4g}",
        "–" if apart is None else f"{_end(apart.low)} to {_end(apart.high)}",
        row.finding,
    ]


def _per_second(
    records: Sequence[Record], seconds: Sequence[int], budget_s: float
) -> Sequence[float]:
    counts = dict.fromkeys(seconds, 0.0)
    for record in records:
        second = int(record.scheduled_s)
        if second in counts and record.is_within(budget_s):
            counts[second] += 1
    return list(counts.values())


def _end(value: float) -> str:
    return f"{value:+.4g}" if math.isfinite(value) else "?"


def _text(estimate: Estimate | None) -> str:
    return "–" if estimate is None else f"{estimate.value:.4g}"


def _estimate(estimate: Estimate | None) -> Mapping[str, float | None] | None:
    if estimate is None:
        return None
    return {
        "value": round(estimate.value, 5),
        "low": round(estimate.low, 5) if math.isfinite(estimate.low) else None,
        "high": round(estimate.high, 5) if math.isfinite(estimate.high) else None,
        "samples": estimate.samples,
    }
