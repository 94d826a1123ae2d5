"""What a drill prints and keeps: the JSON object, a page of text, and the run's folder."""

import json
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.drill.ablation import UNJUDGED_BY, table_of, text_table
from chaos.drill.class_rows import CLASS_COLUMNS, class_rows
from chaos.drill.judge import INCONCLUSIVE, Finding, Verdict
from chaos.drill.outcome import ArmOutcome, fault_rows, phase_rows
from chaos.drill.probes import Evidence, most_telling_first, tell
from chaos.drill.schema import Drill
from chaos.drill.soundness import Doubt
from chaos.report.page import REQUEST_ANCHOR
from chaos.report.waterfall import choose
from chaos.report.write import HTML_FILE

SCHEMA = "squall.drill/1"
RUNS = "runs"
LATEST = "latest"
VERDICT_FILE = "verdict.json"
REPORT_FILE = "report.md"


@dataclass(slots=True)
class DrillRun:
    """A drill, run: what the report is made of.

    Args:
        drill: What was run.
        mode: ``processes`` or ``containers``.
        seed: Of the arrivals.
        overrides: ``--set`` as given.
        folder: Where its files lie.
        outcomes: Main first, then control, then ablations; fewer when it ended early.
        ablations: Findings by arm name.
        verdict: None until it is reached.
        with_control: Whether a control arm was wanted.
        ablate: Whether every protection was taken off alone.
        not_back: Instances that a fault took away and that weren't back in time afterwards.
    """

    drill: Drill
    mode: str
    seed: int
    overrides: Sequence[str]
    folder: Path
    outcomes: list[ArmOutcome] = field(default_factory=list)
    ablations: dict[str, Sequence[Finding]] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=lambda: Verdict(INCONCLUSIVE, [], []))
    with_control: bool = True
    ablate: bool = False
    not_back: Sequence[str] = ()

    @property
    def replay(self) -> str:
        """The command that does it again."""
        sets = "".join(f" --set {shlex.quote(text)}" for text in self.overrides)
        arms = ("" if self.with_control else " --no-control") + (" --ablate" * self.ablate)
        return f"squall drill run {self.drill.drill} --seed {self.seed}{arms}{sets}"

    @property
    def evidence(self) -> list[Evidence]:
        """Requests told by their hops: the main arm's first, the most telling kinds first."""
        return [one for outcome in self.outcomes for one in most_telling_first(outcome.evidence)]


def make_folder(root: Path, drill: str) -> Path:
    """Make ``runs/<drill>/<utc>/`` and let ``latest`` point to it."""
    parent = root / RUNS / drill
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = parent / stamp
    folder.mkdir(parents=True, exist_ok=True)
    partial = parent / f".{LATEST}.{os.getpid()}"
    with suppress(FileNotFoundError):
        partial.unlink()
    partial.symlink_to(stamp, target_is_directory=True)
    os.replace(partial, parent / LATEST)
    return folder


def as_json(run: DrillRun) -> dict[str, Any]:
    """Return the object that ``squall drill run --json`` prints (without its schema)."""
    main = run.outcomes[0] if run.outcomes else None
    return {
        "drill": run.drill.drill,
        "mode": run.mode,
        "seed": run.seed,
        "verdict": run.verdict.verdict,
        "reasons": [{"check": r.check, "message": r.message} for r in run.verdict.reasons],
        "lesson": run.drill.lesson,
        "phases": phase_rows(main) if main else [],
        "classes": class_rows(main.arrivals) if main else [],
        "hypotheses": [_finding(finding) for finding in run.verdict.findings],
        "control": _control(run),
        "ablation": [
            {"off": name, "hypotheses": [_finding(finding) for finding in findings]}
            for name, findings in run.ablations.items()
        ],
        "load": _load(main),
        "faults": fault_rows(run.drill, main) if main else [],
        "seconds_to_recover": _recovery(run.verdict.findings),
        "evidence": [
            {"request_id": e.request_id, "arm": e.arm, "kind": e.kind, "hops": list(e.hops)}
            for e in run.evidence
        ],
        "smallest_margin_sd": smallest_margin_sd(run),
        "commands": [
            {"arm": o.arm.name, **one._asdict()}
            for o in run.outcomes
            for one in o.arrivals.readings.commands
        ],
        "not_back": list(run.not_back),
        "cores_used": {outcome.arm.name: outcome.cores_used for outcome in run.outcomes},
        "loop_lag_p99_ms": {o.arm.name: dict(o.lag_p99_ms) for o in run.outcomes},
        "folder": str(run.folder),
        "replay": run.replay,
    }


def smallest_margin_sd(run: DrillRun) -> float | None:
    """Return the smallest distance of a deciding figure from its bound, in standard deviations.

    Of the main arm every hypothesis decides; of the control arm those that it must refute.
    """
    wanted = {refutation.name for refutation in run.drill.control.refutations()}
    deciding = [
        *run.verdict.findings,
        *(f for f in run.verdict.control or () if f.hypothesis.name in wanted),
    ]
    margins = [m for m in (finding.margin_sd for finding in deciding) if m is not None]
    return round(min(margins), 2) if margins else None


def write_files(run: DrillRun, drill_text: str) -> None:
    """Write the run's verdict, its page and the drill as it was."""
    data = {"schema": SCHEMA, **as_json(run)}
    (run.folder / VERDICT_FILE).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (run.folder / REPORT_FILE).write_text(as_markdown(run), encoding="utf-8")
    (run.folder / "drill.yaml").write_text(drill_text, encoding="utf-8")


def as_text(run: DrillRun) -> str:
    """Return the last lines of a run on a terminal."""
    verdict = run.verdict
    lines = [f"{verdict.verdict.upper():<13}{_findings_line(verdict.findings)}".rstrip()]
    lines += [f"{'':<13}{reason.message}" for reason in verdict.reasons]
    if verdict.control is not None:
        lines.append(_control_line(run, verdict))
    lines += ablation_lines(run)
    if run.not_back:
        lines.append(f"{'NOT BACK':<13}{', '.join(run.not_back)}: see squall status")
    lines.append(f"report {run.folder / HTML_FILE} · replay: {run.replay}{_request_hint(run)}")
    return "\n".join(lines)


def ablation_lines(run: DrillRun) -> list[str]:
    """Return the table of the ablations for a terminal; [] without any."""
    head, rows = table_of(as_json(run))
    if not rows:
        return []
    first, *others = text_table(head, rows)
    return [f"{'ABLATION':<13}{first}", *(f"{'':<13}{line}" for line in others)]


def _control_line(run: DrillRun, verdict: Verdict) -> str:
    off = " and ".join(run.drill.control.off)
    control = verdict.control or ()
    wanted = {refutation.name for refutation in run.drill.control.refutations()}
    figures = _findings_line([f for f in control if f.hypothesis.name in wanted])
    head = "refuted as it must be" if verdict.control_verdict == "refuted" else "not refuted"
    evidence = next((e for e in run.evidence if e.arm == "control"), None)
    example = f"; e.g. {tell(evidence)}" if evidence else ""
    return f"{'CONTROL':<13}{head}: {figures} without {off}{example}"


def _request_hint(run: DrillRun) -> str:
    """Say where one request's hops are: the run keeps them, processes forget within an arm."""
    chosen = choose(as_json(run)["evidence"])
    if chosen is None:
        return ""
    return f" · hops of {chosen['request_id']}: {HTML_FILE}#{REQUEST_ANCHOR}"


def _findings_line(findings: Sequence[Finding]) -> str:
    return " · ".join(
        f"{f.hypothesis.name} {figure(f.observed.value)} {'' if f.held else 'not '}{f.bound}"
        for f in findings
    )


def figure(value: float | None) -> str:
    """Write an observed value for people."""
    return "never" if value is None else f"{value:.2f}"


def as_markdown(run: DrillRun) -> str:
    """Return the run's page."""
    drill, verdict = run.drill, run.verdict
    parts = [
        f"# {drill.drill}: {verdict.verdict}",
        f"{drill.incident}. Lesson: {drill.lesson}.",
        *(f"- {reason.message}" for reason in verdict.reasons),
        "## Hypotheses",
        _findings_table(verdict.findings),
    ]
    if verdict.control is not None:
        off = ", ".join(drill.control.off)
        parts += [f"## Control: without {off}", _findings_table(verdict.control)]
    head, rows = table_of(as_json(run))
    if rows:
        parts += ["## Ablation", UNJUDGED_BY, _table(head, rows)]
    for outcome in run.outcomes:
        parts += [f"## Arrivals in the {outcome.arm.name} arm", _phase_table(outcome)]
        classes = class_rows(outcome.arrivals)
        if classes:
            rows = [[row[c] for c in CLASS_COLUMNS] for row in classes]
            parts += ["Under the fault, by class:", _table(CLASS_COLUMNS, rows)]
    parts += ["## Evidence", *(f"- {e.arm}, {e.kind}: {tell(e)}" for e in run.evidence)]
    return "\n\n".join([*parts, f"Replay: `{run.replay}`"]) + "\n"


def _findings_table(findings: Sequence[Finding]) -> str:
    rows = [
        (
            f.hypothesis.name,
            figure(f.observed.value),
            f"{f.observed.sd:.3f}" if f.observed.sd is not None else "",
            str(f.bound),
            "held" if f.held else "not held",
            "not exercised" if f.exercised is False else "",
            f"{f.margin_sd:.1f}" if f.margin_sd is not None else "",
        )
        for f in findings
    ]
    return _table(("hypothesis", "observed", "sd", "bound", "", "", "margin in sd"), rows)


def _phase_table(outcome: ArmOutcome) -> str:
    columns = (
        "name", "sent", "in_time", "late", "rejected", "expired", "failed", "degraded",
        "p50_ms", "p95_ms",
    )  # fmt: skip
    return _table(columns, [[row[c] for c in columns] for row in phase_rows(outcome)])


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _finding(finding: Finding) -> dict[str, Any]:
    hypothesis, seen = finding.hypothesis, finding.observed
    data = {
        "name": hypothesis.name,
        "phase": hypothesis.phase,
        "metric": hypothesis.metric,
        "observed": _rounded(seen.value),
        "bound": hypothesis.bound,
        "unit": hypothesis.unit,
        "held": finding.held,
        "exercised": finding.exercised,
        "sd": _rounded(seen.sd),
        "margin_sd": _rounded(finding.margin_sd, 2),
        "samples": seen.samples,
    }
    if finding.must_show is not None:
        data["must_show"] = f"{finding.must_show.relation} {finding.must_show.value:g}"
    return data


def _control(run: DrillRun) -> dict[str, Any] | None:
    if run.verdict.control is None:
        return None
    outcome = run.outcomes[1]
    return {
        "verdict": run.verdict.control_verdict,
        "off": list(run.drill.control.off),
        "refutes": [refutation.name for refutation in run.drill.control.refutations()],
        "hypotheses": [_finding(finding) for finding in run.verdict.control],
        "phases": phase_rows(outcome),
        "classes": class_rows(outcome.arrivals),
        "load": _load(outcome),
        "faults": fault_rows(run.drill, outcome),
    }


def _load(outcome: ArmOutcome | None) -> dict[str, Any]:
    names = ("scheduled", "sent", "lag_p50_ms", "lag_p99_ms", "cpu_s")
    load: Mapping[str, Any] = outcome.load if outcome else {}
    return {name: load.get(name) for name in names}


def _recovery(findings: Sequence[Finding]) -> float | None:
    for finding in findings:
        if finding.hypothesis.metric == "seconds_to_recover":
            return _rounded(finding.observed.value)
    return None


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)


def unreached(check: str, message: str) -> Verdict:
    """Return the verdict of a run that couldn't be finished."""
    return Verdict(INCONCLUSIVE, [Doubt(check, message)], [])
