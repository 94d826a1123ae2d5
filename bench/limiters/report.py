"""Report: the table and the JSON of ``squall bench limiters``."""

from collections.abc import Mapping, Sequence

from bench.limiters import envoy
from bench.limiters.contenders import ENVOY, Contender
from bench.limiters.figures import figures
from bench.limiters.run import Run
from bench.limiters.summary import Summary, aims, summaries
from bench.limiters.trace import CAPACITY_RPS, DEADLINE_S, PHASES, SEED, path_of
from bench.machine import machine, versions

SCHEMA = "squall.bench.limiters/1"
HEAD = (
    *("contender", "runs", "goodput", "range", "slow", "p99 ms", "refused crit.", "refused shed."),
    *("crit. ok", "inversions", "react s", "react slow s", "recover s", "Jain", "CPU µs", ""),
)
LEGEND = (
    "Medians. goodput: answers in time at 10 C over the declared capacity; slow: the same while "
    "the dependency is slow; p99: of the admitted at 10 C; refused: at 10 C; crit. ok: critical "
    "answered in time at 10 C; inversions: critical refused while sheddable admitted, all runs; "
    "react, recover: until goodput is within 5 % of its new mean for 2 s; CPU: of the service "
    "(+ Envoy) per request."
)


def rows(found: Sequence[Summary], cv: float, absent: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return the rows below ``HEAD`` for one cv; who is absent keeps a row with the reason."""
    measured = [_row(one) for one in found if one.cv == cv]
    empty = ("",) * (len(HEAD) - 2)
    return measured + [(name, *empty, why) for name, why in absent.items()]


def verdict_lines(found: Sequence[Summary], cv: float) -> list[str]:
    """Return one line for each aim."""
    return [f"cv {cv:g}: {one.verdict.value}: {one.text} ({one.found})" for one in aims(found, cv)]


def run_line(number: int, of: int, run: Run) -> str:
    """Return the line of progress that tells how a run went."""
    told = "" if run.tries == 1 else f", run {run.tries} times"
    told += "" if run.is_sound else ", SPOILED: the client did not keep its schedule"
    share = figures(run.records).goodput
    lag_ms = run.lag_p99_s * 1000
    return (
        f"squall: {number} of {of}: {run.contender} at cv {run.cv:g}: goodput {share:.3f}, "
        f"lag p99 {lag_ms:.1f} ms{told}"
    )


def as_json(
    runs: Sequence[Run],
    contenders: Sequence[Contender],
    cvs: Sequence[float],
    absent: Mapping[str, str],
) -> dict[str, object]:
    """Return the whole session: medians, every run's figures, aims."""
    found = summaries(runs)
    return {
        "machine": machine(),
        "versions": {**versions(), envoy.PACKAGE: envoy.package_version() or "not installed"},
        "trace": _trace_json(cvs),
        "contenders": {each.name: each.what for each in contenders},
        "absent": dict(absent),
        "medians": [one._asdict() for one in found],
        "runs": [_run_json(one) for one in runs],
        "aims": [
            {"cv": cv, "aim": one.text, "verdict": one.verdict.value, "found": one.found}
            for cv in cvs
            for one in aims(found, cv)
        ],
    }


def _row(one: Summary) -> tuple[str, ...]:
    name = f"{one.contender} {envoy.package_version()}" if one.contender == ENVOY else one.contender
    cpu = f"{one.cpu_us:.0f}" + (f" + {one.proxy_cpu_us:.0f}" if one.proxy_cpu_us else "")
    low, high = one.goodput_range
    return (
        name,
        str(one.runs),
        f"{one.goodput:.3f}",
        f"{low:.2f}..{high:.2f}",
        f"{one.goodput_slow:.2f}",
        _ms(one.p99_s),
        f"{one.refused.get('critical', 0):.0f}",
        f"{one.refused.get('sheddable', 0):.0f}",
        f"{one.critical_ratio:.2f}",
        str(one.inversions),
        _seconds(one.react_s),
        _seconds(one.react_slow_s),
        _seconds(one.recover_s),
        "" if one.jain is None else f"{one.jain:.2f}",
        cpu,
        _marks(one),
    )


def _marks(one: Summary) -> str:
    marks = []
    if one.repeated:
        marks.append(f"{one.repeated} repeated")
    if one.spoiled:
        marks.append(f"{one.spoiled} spoiled")
    return ", ".join(marks)


def _ms(value_s: float | None) -> str:
    return "" if value_s is None else f"{value_s * 1000:.0f}"


def _seconds(value_s: float | None) -> str:
    return "never" if value_s is None else f"{value_s:.1f}"


def _run_json(one: Run) -> dict[str, object]:
    return {
        "contender": one.contender,
        "cv": one.cv,
        "tries": one.tries,
        "is_sound": one.is_sound,
        "lag_p99_s": one.lag_p99_s,
        "sent_ratio": one.sent_ratio,
        "service": one.service,
        "proxy_cpu_s": one.proxy_cpu_s,
        **figures(one.records)._asdict(),
    }


def _trace_json(cvs: Sequence[float]) -> dict[str, object]:
    return {
        "seed": SEED,
        "files": [f"bench/traces/{path_of(cv).name}" for cv in cvs],
        "capacity_rps": CAPACITY_RPS,
        "deadline_s": DEADLINE_S,
        "phases": [phase._asdict() for phase in PHASES],
    }
