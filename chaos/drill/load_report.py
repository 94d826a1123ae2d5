"""What a load on its own found: counts, latencies, the generator's own figures, expectations.

Pure. Latencies are of successes only, since a quick refusal would flatter them; from the scheduled
time (what a visitor feels) and beside it from the sent time (what a closed-loop tool would say).
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.drill.metrics import Arrivals, percentile_ms
from chaos.drill.records import Record, Window
from chaos.drill.soundness import Doubt, Measurement, doubts
from kit.errors import ConfigError

WARMUP = "warmup"  # the phase that loadtests puts in front; the report leaves it out
PERCENTILES: Mapping[str, float] = {
    "p50": 0.50, "p75": 0.75, "p90": 0.90, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1.0,
}  # fmt: skip
SHARES = ("in_time", "late", "rejected", "expired", "failed", "degraded")
_EXPECTATION = re.compile(r"\s*(\w+)\s*(>=|<=)\s*(\d+(?:\.\d+)?)\s*(ms|s|%)?\s*")


@dataclass(frozen=True, slots=True)
class Expectation:
    """One ``--expect``.

    Args:
        text: As given.
        name: A share (``in_time``) or a percentile (``p95``).
        relation: ``>=`` or ``<=``.
        value: A share 0..1, or milliseconds.
    """

    text: str
    name: str
    relation: str
    value: float

    def is_met(self, observed: float | None) -> bool:
        """Whether a figure keeps it; what was never observed keeps none."""
        if observed is None:
            return False
        return observed >= self.value if self.relation == ">=" else observed <= self.value


def parse_expectation(text: str) -> Expectation:
    """Read e.g. ``in_time>=0.99``, ``p95<=200ms``, ``rejected<=1%``.

    Raises:
        ConfigError: It isn't one, or names no figure.
    """
    match = _EXPECTATION.fullmatch(text)
    if match is None:
        raise ConfigError(f"--expect {text!r}: write in_time>=0.99 or p95<=200ms")
    name, relation, number, unit = match.groups()
    if name not in SHARES and name not in PERCENTILES:
        known = ", ".join((*SHARES, *PERCENTILES))
        raise ConfigError(f"--expect {text!r}: {name} is none of {known}")
    is_share = name in SHARES
    if (unit in ("ms", "s")) == is_share and unit is not None:
        raise ConfigError(f"--expect {text!r}: {name} is a {'share' if is_share else 'time'}")
    factor = {"s": 1000.0, "%": 0.01}.get(unit or "", 1.0)
    return Expectation(text, name, relation, float(number) * factor)


def build_report(
    records: Sequence[Record], load: Mapping[str, Any], expectations: Sequence[Expectation]
) -> dict[str, Any]:
    """Return the report of a run.

    Args:
        records: All arrivals.
        load: What load.json says.
        expectations: What it is held against.
    """
    budget_s = float(load.get("budget_s", 1.0))
    windows = _windows(load)
    measured = [r for r in records if _is_measured(r, windows)]
    seconds = sum(w.seconds for name, w in windows.items() if name != WARMUP)
    report = {
        "offered_rps": round(len(measured) / seconds, 2) if seconds else None,
        "scheduled": len(measured),
        "sent": sum(record.is_sent for record in measured),
        **_counts(measured, budget_s),
        "latency_ms": {
            "from_scheduled": _percentiles([r.latency_s for r in measured if r.is_success]),
            "from_sent": _percentiles([_from_sent_s(r) for r in measured if r.is_success]),
        },
        "generator": {
            **{name: load.get(name) for name in ("lag_p50_ms", "lag_p99_ms", "cpu_s")},
            "cpu_ms_per_request": _per_request_ms(load),
        },
        "seed": load.get("seed"),
        "budget_ms": budget_s * 1000,
        "phases": _phase_rows(Arrivals(records, windows, budget_s)),
    }
    report["expect"] = [
        {"text": e.text, "observed": figure_of(report, e.name), "met": e.is_met(figure_of(report,
        e.name))} for e in expectations
    ]  # fmt: skip
    report["doubts"] = [{"check": doubt.check, "message": doubt.message} for doubt in _doubts(load)]
    return report


def figure_of(report: Mapping[str, Any], name: str) -> float | None:
    """Return a share of what was scheduled, or a percentile in milliseconds."""
    if name in PERCENTILES:
        value = report["latency_ms"]["from_scheduled"].get(name)
        return None if value is None else float(value)
    if not report["scheduled"]:
        return None
    return round(float(report[name]) / float(report["scheduled"]), 5)


def exit_code(report: Mapping[str, Any]) -> int:
    """Return 4 when the measurement is unsound, 1 when an expectation isn't met, else 0."""
    if report["doubts"]:
        return 4
    return 0 if all(expectation["met"] for expectation in report["expect"]) else 1


def as_text(report: Mapping[str, Any]) -> str:
    """Return the report for people."""
    latency = report["latency_ms"]
    generator = report["generator"]
    rejected = ", ".join(f"{name} {n}" for name, n in report["reasons"].items())
    lines = [
        f"offered    {report['offered_rps']}/s, {report['scheduled']} arrivals, "
        f"{report['sent']} sent, seed {report['seed']}",
        f"answered   {report['in_time']} in time ({_percent(report, 'in_time')}), "
        f"{report['late']} late, {report['degraded']} degraded",
        f"not        {report['rejected']} rejected, {report['expired']} expired, "
        f"{report['failed']} failed{f': {rejected}' if rejected else ''}",
        f"latency    from scheduled: {_latency_line(latency['from_scheduled'])}",
        f"           from sent:      {_latency_line(latency['from_sent'])}",
        f"generator  lag p99 {generator['lag_p99_ms']} ms, "
        f"{generator['cpu_ms_per_request']} ms of CPU per request",
    ]
    lines += [
        f"{'met' if e['met'] else 'NOT MET':<10} {e['text']} (observed {e['observed']})"
        for e in report["expect"]
    ]
    lines += [f"INCONCLUSIVE {doubt['message']}" for doubt in report["doubts"]]
    return "\n".join(lines)


def _windows(load: Mapping[str, Any]) -> dict[str, Window]:
    windows: dict[str, Window] = {}
    start_s = 0.0
    for phase in load.get("phases", ()):
        windows[phase["name"]] = Window(start_s, start_s + phase["seconds"])
        start_s += phase["seconds"]
    return windows


def _is_measured(record: Record, windows: Mapping[str, Window]) -> bool:
    warmup = windows.get(WARMUP)
    return warmup is None or record.scheduled_s >= warmup.to_s


def _counts(records: Sequence[Record], budget_s: float) -> dict[str, Any]:
    kinds = Counter(record.kind(budget_s) for record in records)
    reasons = Counter(record.reason for record in records if record.reason)
    return {
        **{kind: kinds[kind] for kind in ("in_time", "late", "rejected", "expired", "failed")},
        "degraded": sum(bool(record.degraded) for record in records),
        "reasons": dict(reasons.most_common()),
    }


def _percentiles(latencies_s: Sequence[float | None]) -> dict[str, float | None]:
    ordered = sorted(s * 1000 for s in latencies_s if s is not None)
    return {name: percentile_ms(ordered, of) for name, of in PERCENTILES.items()}


def _from_sent_s(record: Record) -> float | None:
    if record.done_s is None or record.sent_s is None:
        return None
    return record.done_s - record.sent_s


def _phase_rows(arrivals: Arrivals) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "from_s": window.from_s,
            "to_s": window.to_s,
            "scheduled": len(arrivals.of(name)),
            **_counts(arrivals.of(name), arrivals.budget_s),
            **_percentiles([r.latency_s for r in arrivals.of(name) if r.is_success]),
        }
        for name, window in arrivals.windows.items()
    ]


def _per_request_ms(load: Mapping[str, Any]) -> float | None:
    sent = load.get("sent")
    return round(1000 * float(load["cpu_s"]) / sent, 3) if sent else None


def _doubts(load: Mapping[str, Any]) -> list[Doubt]:
    measured = Measurement(
        arm="load",
        scheduled=int(load.get("scheduled", 0)),
        sent=int(load.get("sent", 0)),
        lag_p99_ms=float(load.get("lag_p99_ms", 0.0)),
    )
    return doubts(measured)


def _percent(report: Mapping[str, Any], name: str) -> str:
    value = figure_of(report, name)
    return "none" if value is None else f"{value:.2%}"


def _latency_line(percentiles: Mapping[str, float | None]) -> str:
    return ", ".join(
        f"{name} {value:.0f}" for name, value in percentiles.items() if value is not None
    )
