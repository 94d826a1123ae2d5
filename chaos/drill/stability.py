"""A drill run many times: does its verdict ever change, and how near did it come?

Pure, from the runs' verdicts. A drill whose smallest margin over many seeds stays above three
standard deviations is fit for CI; one that doesn't will one day fail for no reason.
Source: drills.md, "The catalogue" (margin 3 on both arms).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from chaos.drill.arms import CONTROL, MAIN
from chaos.drill.bound import parse_bound
from chaos.drill.judge import HELD, INCONCLUSIVE, REFUTED

SCHEMA = "squall.drill-stability/1"
ENOUGH_SD = 3.0  # drills.md R4
DEFAULT_RUNS = 20
EXIT_REFUTED, EXIT_UNSTABLE = 1, 4
HEAD = ("arm", "hypothesis", "bound", "runs", "min", "median", "max", "smallest margin, sd")

Verdict = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Spread:
    """A hypothesis over all runs, in one arm.

    Args:
        arm: ``main`` or ``control``.
        name: The hypothesis.
        bound: What decides: of the control arm what it must show.
        values: Observed, without the runs that observed nothing.
        runs: How many runs judged it.
        margin_sd: The smallest; None when it decides nothing here, or has none.
    """

    arm: str
    name: str
    bound: str
    values: Sequence[float]
    runs: int
    margin_sd: float | None

    def row(self) -> list[str]:
        """Return it as a row of HEAD."""
        seen = sorted(self.values)
        figures = [f"{v:.3g}" for v in (seen[0], median(seen), seen[-1])] if seen else ["never"] * 3
        margin = "" if self.margin_sd is None else f"{self.margin_sd:.1f}"
        return [self.arm, self.name, self.bound, str(self.runs), *figures, margin]


@dataclass(frozen=True, slots=True)
class Stability:
    """What many runs of one drill show.

    Args:
        drill: Its name.
        counts: How often each verdict; ``not run`` among them.
        spreads: Per hypothesis and arm.
        smallest_margin_sd: Of all runs; None when none was known.
        worst: The run to look at first; None when none was run.
    """

    drill: str
    counts: Mapping[str, int]
    spreads: Sequence[Spread]
    smallest_margin_sd: float | None
    worst: Verdict | None

    @property
    def exit_code(self) -> int:
        """0 when every run held with margin enough, 1 when one was refuted, else 4."""
        if self.counts.get(REFUTED):
            return EXIT_REFUTED
        margin = self.smallest_margin_sd
        has_held = set(self.counts) == {HELD} and margin is not None and margin >= ENOUGH_SD
        return 0 if has_held else EXIT_UNSTABLE

    @property
    def sentence(self) -> str:
        """Say what it comes to."""
        said = ", ".join(f"{n} {verdict}" for verdict, n in self.counts.items())
        margin = self.smallest_margin_sd
        near = "no margin is known" if margin is None else f"smallest margin {margin:.1f} sd"
        return f"{self.drill}: {said}; {near} (at least {ENOUGH_SD:g} is stable)"


def sum_up(drill: str, verdicts: Sequence[Verdict], not_run: int = 0) -> Stability:
    """Sum up runs.

    Args:
        drill: Its name.
        verdicts: As verdict.json has them, in order.
        not_run: How many couldn't be run.
    """
    counts = Counter(str(one["verdict"]) for one in verdicts)
    if not_run:
        counts["not run"] = not_run
    margins = [one["smallest_margin_sd"] for one in verdicts]
    known = [margin for margin in margins if margin is not None]
    spreads = [*_spreads(MAIN, verdicts), *_spreads(CONTROL, verdicts)]
    worst = min(verdicts, key=_badness, default=None)
    return Stability(drill, counts, spreads, min(known, default=None), worst)


def as_json(stability: Stability, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return the object that ``squall drill stability --json`` prints (without its schema)."""
    return {
        "drill": stability.drill,
        "runs": len(verdicts),
        "exit_code": stability.exit_code,
        "verdicts": dict(stability.counts),
        "smallest_margin_sd": stability.smallest_margin_sd,
        "enough_sd": ENOUGH_SD,
        "hypotheses": [
            {
                "arm": one.arm,
                "name": one.name,
                "bound": one.bound,
                "runs": one.runs,
                "min": min(one.values, default=None),
                "median": median(one.values) if one.values else None,
                "max": max(one.values, default=None),
                "smallest_margin_sd": one.margin_sd,
            }
            for one in stability.spreads
        ],
        "worst": None if stability.worst is None else _run_json(stability.worst),
        "each": [_run_json(verdict) for verdict in verdicts],
    }


def _run_json(verdict: Verdict) -> dict[str, Any]:
    names = ("seed", "verdict", "smallest_margin_sd", "replay", "folder")
    why = [reason["message"] for reason in verdict.get("reasons", ())]
    return {**{name: verdict.get(name) for name in names}, "why": why}


def _badness(verdict: Verdict) -> tuple[int, float]:
    """Order runs: refuted, inconclusive, held; then by margin."""
    margin = verdict["smallest_margin_sd"]
    place = (REFUTED, INCONCLUSIVE, HELD).index(str(verdict["verdict"]))
    return place, float("inf") if margin is None else float(margin)


def _spreads(arm: str, verdicts: Iterable[Verdict]) -> list[Spread]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    deciding: set[str] = set()
    for verdict in verdicts:
        data = verdict if arm == MAIN else verdict.get(CONTROL) or {}
        names = [str(finding["name"]) for finding in data.get("hypotheses", ())]
        deciding |= set(names if arm == MAIN else data.get("refutes", ()))
        for name, finding in zip(names, data.get("hypotheses", ()), strict=True):
            found.setdefault(name, []).append(finding)
    return [_spread(arm, name, each, name in deciding) for name, each in found.items()]


def _spread(arm: str, name: str, findings: Sequence[Mapping[str, Any]], decides: bool) -> Spread:
    values = [float(f["observed"]) for f in findings if f["observed"] is not None]
    margins = [float(f["margin_sd"]) for f in findings if f["margin_sd"] is not None]
    bound = str(parse_bound(str(findings[0].get("must_show") or findings[0]["bound"])))
    margin = min(margins, default=None) if decides else None
    return Spread(arm, name, bound, values, len(findings), margin)
