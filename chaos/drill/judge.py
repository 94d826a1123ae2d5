"""The verdict: held, refuted or inconclusive, from the arms' figures alone.

Pure. Source: drills.md R4 (margins, "not exercised") and R9 (order of the verdicts).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from chaos.drill.bound import Bound, parse_bound
from chaos.drill.metrics import Arrivals, observe
from chaos.drill.observation import Observation
from chaos.drill.schema import Drill, Hypothesis
from chaos.drill.soundness import Doubt

HELD, REFUTED, INCONCLUSIVE = "held", "refuted", "inconclusive"
EXIT_CODES: Mapping[str, int] = {HELD: 0, REFUTED: 1, INCONCLUSIVE: 4}
CONTROL_HELD = "control_held"


@dataclass(frozen=True, slots=True)
class Finding:
    """One hypothesis in one arm.

    Args:
        hypothesis: What was claimed.
        observed: What was seen.
        bound: What it was held against.
        held: Whether it holds.
        exercised: False when it holds in the control arm as well, so that the protection wasn't
            needed for it; None without a control arm.
        must_show: In the control arm, how badly it must fail; None is content with any failure.
    """

    hypothesis: Hypothesis
    observed: Observation
    bound: Bound
    held: bool
    exercised: bool | None = None
    must_show: Bound | None = None

    @property
    def is_refuted(self) -> bool:
        """Whether it fails as badly as it must: failing by a hair proves nothing."""
        shown = self.must_show is None or self.must_show.holds(self.observed.value)
        return shown and not self.held

    @property
    def margin_sd(self) -> float | None:
        """Standard deviations between what was seen and what decided; None when unknown."""
        return (self.must_show or self.bound).margin_sd(self.observed.value, self.observed.sd)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a drill found.

    Args:
        verdict: ``held``, ``refuted`` or ``inconclusive``.
        reasons: Why, when it isn't ``held``.
        findings: Of the main arm.
        control: Of the control arm; None when there was none.
        control_verdict: ``refuted`` is what the control must be.
    """

    verdict: str
    reasons: Sequence[Doubt]
    findings: Sequence[Finding]
    control: Sequence[Finding] | None = None
    control_verdict: str | None = None

    @property
    def exit_code(self) -> int:
        """0 held, 1 refuted, 4 inconclusive."""
        return EXIT_CODES[self.verdict]


def examine(drill: Drill, arrivals: Arrivals) -> list[Finding]:
    """Hold an arm against the drill's own bounds; phases that the arm lacks are left out."""
    findings = []
    for hypothesis in drill.hypotheses:
        if not arrivals.has(hypothesis.phase):
            continue
        bound, seen = parse_bound(hypothesis.bound), observe(hypothesis, arrivals)
        findings.append(Finding(hypothesis, seen, bound, bound.holds(seen.value)))
    return findings


def examine_control(drill: Drill, arrivals: Arrivals) -> list[Finding]:
    """Hold the control arm against the same bounds, and against what it must show."""
    must_show = {r.name: parse_bound(r.bound) for r in drill.control.refutations() if r.bound}
    return [
        replace(finding, must_show=must_show.get(finding.hypothesis.name))
        for finding in examine(drill, arrivals)
    ]


def judge(
    drill: Drill,
    main: Sequence[Finding],
    control: Sequence[Finding] | None,
    doubts: Sequence[Doubt],
) -> Verdict:
    """Reach the verdict.

    Args:
        drill: Says what the control must refute.
        main: The main arm's findings.
        control: The control arm's; None when it wasn't run.
        doubts: What makes the measurement itself unsound; it outranks all (R9).
    """
    if control is None:
        return _without_control(main, doubts)
    by_name = {finding.hypothesis.name: finding for finding in control}
    findings = [replace(f, exercised=not by_name[f.hypothesis.name].held) for f in main]
    wanted = [refutation.name for refutation in drill.control.refutations()]
    survivors = [name for name in wanted if not by_name[name].is_refuted]
    control_verdict = HELD if survivors else REFUTED
    if doubts:
        return Verdict(INCONCLUSIVE, doubts, findings, control, control_verdict)
    failures = _failures(findings)
    if failures:
        return Verdict(REFUTED, failures, findings, control, control_verdict)
    if survivors:
        reason = Doubt(
            CONTROL_HELD,
            f"without {' and '.join(drill.control.off)} this isn't refuted: {', '.join(survivors)}",
        )
        return Verdict(INCONCLUSIVE, [reason], findings, control, control_verdict)
    return Verdict(HELD, [], findings, control, control_verdict)


def _without_control(main: Sequence[Finding], doubts: Sequence[Doubt]) -> Verdict:
    if doubts:
        return Verdict(INCONCLUSIVE, doubts, main)
    failures = _failures(main)
    return Verdict(REFUTED if failures else HELD, failures, main)


def _failures(findings: Sequence[Finding]) -> list[Doubt]:
    return [
        Doubt("hypothesis", f"{f.hypothesis.name}: {_figure(f)}, must be {f.bound}")
        for f in findings
        if not f.held
    ]


def _figure(finding: Finding) -> str:
    value = finding.observed.value
    return "never" if value is None else f"{value:.3g}"
