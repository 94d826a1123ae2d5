"""The verdict in words: what was claimed, what was seen, what that proves.

Pure, from verdict.json.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chaos.drill.bound import parse_bound
from chaos.drill.judge import HELD, INCONCLUSIVE, REFUTED

Finding = Mapping[str, Any]
NOTHING = "This run left no verdict: it ended before one was reached."


def headline(verdict: Mapping[str, Any]) -> str:
    """Return the verdict as a sentence of its own."""
    if verdict.get("verdict") == HELD and not verdict.get("control"):
        return "Held: what is claimed was seen. That the protection did it, only a control shows."
    return {
        HELD: "Held: the protection does what is claimed, and without it the claim fails.",
        REFUTED: "Refuted: what was claimed does not hold.",
        INCONCLUSIVE: "Inconclusive: this run proves nothing, neither way.",
    }.get(str(verdict.get("verdict")), NOTHING)


def sentences(verdict: Mapping[str, Any]) -> list[str]:
    """Return what was seen, in the order in which it matters."""
    findings: Sequence[Finding] = verdict.get("hypotheses") or ()
    said = [str(reason["message"]) + "." for reason in verdict.get("reasons") or ()]
    if findings:
        said.append(f"With the protection: {'; '.join(map(claim, findings))}.")
    control = verdict.get("control")
    if control:
        failed = [f for f in control["hypotheses"] if not f["held"]]
        what = "; ".join(map(claim, failed)) or "every hypothesis held as well"
        said.append(f"Without {' and '.join(control['off'])}: {what}.")
    elif findings:
        said.append("No control arm was run, so nothing says that the protection was needed.")
    idle = [str(f["name"]) for f in findings if f.get("exercised") is False]
    if idle:
        said.append(f"Not exercised, since the control kept it too: {', '.join(idle)}.")
    margin = verdict.get("smallest_margin_sd")
    if margin is not None:
        said.append(f"The closest deciding figure was {margin:g} standard deviations away.")
    return said


def claim(finding: Finding) -> str:
    """Say one finding, e.g. ``goodput was 0.06 of capacity, not ≥ 0.85``."""
    bound = parse_bound(str(finding["bound"]))
    unit = f" {finding['unit']}" if finding.get("unit") else ""
    seen = "never" if finding["observed"] is None else f"{finding['observed']:.3g}{unit}"
    return f"{finding['name']} was {seen}, {'' if finding['held'] else 'not '}{bound}"


def finding_row(finding: Finding) -> list[str | float | None]:
    """Return a finding as a table row of FINDING_HEAD."""
    observed, sd = finding.get("observed"), finding.get("sd")
    shown = finding.get("must_show")
    must = f" (must show {parse_bound(str(shown))})" if shown else ""
    return [
        f"{finding['name']} ({finding.get('unit') or finding['metric']})",
        "never" if observed is None else round(float(observed), 4),
        None if sd is None else round(float(sd), 4),
        f"{parse_bound(str(finding['bound']))}{must}",
        "held" if finding["held"] else "not held",
        "not exercised" if finding.get("exercised") is False else "",
        finding.get("margin_sd"),
        finding.get("samples"),
    ]


FINDING_HEAD = ("hypothesis", "observed", "sd", "bound", "result", "", "margin in sd", "samples")
