"""Verdicts as JUnit XML, which every CI reads.

One testsuite per drill; one testcase per hypothesis, and one per thing that the control arm must
refute. A hypothesis that fails is a *failure*. What makes a verdict inconclusive, or keeps a drill
from running, is an *error* of the testcases that it leaves undecided: the measurement failed, not
the lab.
Source: the schema of Jenkins (jenkinsci/xunit-plugin: junit-10.xsd), which the others follow.
"""

import platform
import time
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from chaos.drill.arms import CONTROL, MAIN
from chaos.drill.bound import parse_bound
from chaos.drill.judge import CONTROL_HELD, INCONCLUSIVE, Finding
from chaos.drill.report import DrillRun, figure, smallest_margin_sd
from chaos.drill.schema import Hypothesis, Refutation
from chaos.drill.suite import Entry
from chaos.report.run import MACHINE_FILE, read_object
from chaos.report.write import write_page

ROOT_COUNTS = ("tests", "failures", "errors")  # the schema has no `skipped` up there
FAILURE, ERROR, SKIPPED = "failure", "error", "skipped"


def write_junit(path: Path, entries: Sequence[Entry]) -> Path:
    """Replace a file with the verdicts so far."""
    return write_page(path, to_xml(entries))


def to_xml(entries: Sequence[Entry]) -> str:
    """Return the document."""
    root = ElementTree.Element("testsuites", name="squall drills")
    suites = [_suite(entry) for entry in entries]
    root.extend(suites)
    for name in ROOT_COUNTS:
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    root.set("time", f"{sum(entry.seconds for entry in entries):.3f}")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _suite(entry: Entry) -> ElementTree.Element:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(entry.began_unix_s))
    suite = ElementTree.Element(
        "testsuite", name=entry.drill.drill, time=f"{entry.seconds:.3f}", timestamp=stamp,
        hostname=platform.node() or "localhost",
    )  # fmt: skip
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(entry).items():
        ElementTree.SubElement(properties, "property", name=name, value=value)
    cases = [*_main_cases(entry), *_control_cases(entry)]
    suite.extend(cases)
    suite.set("tests", str(len(cases)))
    for name, kind in (("failures", FAILURE), ("errors", ERROR), ("skipped", SKIPPED)):
        suite.set(name, str(sum(case.find(kind) is not None for case in cases)))
    return suite


def _properties(entry: Entry) -> dict[str, str]:
    run = entry.run
    said = {"verdict": entry.verdict}
    if run is not None:
        margin = smallest_margin_sd(run)
        said |= {
            "seed": str(run.seed),
            "mode": run.mode,
            **_machine(run),
            "smallest margin, sd": "" if margin is None else f"{margin:g}",
            "replay": run.replay,
            "report": entry.report,
        }
    return said


def _machine(run: DrillRun) -> dict[str, str]:
    """Return what the run's folder says of the machine; nothing when nobody wrote it."""
    machine = read_object(run.folder / MACHINE_FILE)
    if not machine:
        return {}
    names = ("system", "python", "valkey")
    return {
        "machine": f"{machine.get('cpu')}, {machine.get('cores')} cores",
        **{name: str(machine.get(name)) for name in names},
    }


def _main_cases(entry: Entry) -> list[ElementTree.Element]:
    findings = _findings(entry, MAIN)
    return [_main_case(entry, h, findings.get(h.name)) for h in entry.drill.hypotheses]


def _main_case(entry: Entry, claim: Hypothesis, found: Finding | None) -> ElementTree.Element:
    name = f"{claim.name} {parse_bound(claim.bound)} {claim.unit}".rstrip()
    case = _case(entry, MAIN, name, len(entry.drill.hypotheses))
    doubt = _doubt(entry)
    if found is None or doubt:
        return _mark(case, ERROR, "inconclusive", doubt or entry.why or "it was not judged")
    if not found.held:
        said = f"{claim.name} was {figure(found.observed.value)}, must be {found.bound}"
        _mark(case, FAILURE, "refuted", said)
    return case


def _control_cases(entry: Entry) -> list[ElementTree.Element]:
    findings = _findings(entry, CONTROL)
    wanted = entry.drill.control.refutations()
    return [_control_case(entry, one, findings.get(one.name), len(wanted)) for one in wanted]


def _control_case(
    entry: Entry, wanted: Refutation, found: Finding | None, cases: int
) -> ElementTree.Element:
    off = " and ".join(entry.drill.control.off)
    case = _case(entry, CONTROL, f"{wanted.name} must fail without {off}", cases)
    doubt = _doubt(entry)
    if entry.run is not None and not entry.run.with_control:
        ElementTree.SubElement(case, SKIPPED, message="run without its control arm")
    elif found is None or doubt:
        _mark(case, ERROR, "inconclusive", doubt or entry.why or "it was not judged")
    elif not found.is_refuted:
        must = f"must show {found.must_show}" if found.must_show else f"must not be {found.bound}"
        said = f"without {off} {wanted.name} was {figure(found.observed.value)}, {must}: "
        _mark(case, ERROR, "inconclusive", f"{said}the protection was never needed")
    return case


def _findings(entry: Entry, arm: str) -> dict[str, Finding]:
    if entry.run is None:
        return {}
    verdict = entry.run.verdict
    found = verdict.findings if arm == MAIN else verdict.control or ()
    return {finding.hypothesis.name: finding for finding in found}


def _doubt(entry: Entry) -> str:
    """Say what makes the whole measurement unsound; a control that held is told by its own case."""
    if entry.run is None:
        return entry.why
    verdict = entry.run.verdict
    if verdict.verdict != INCONCLUSIVE or _is_control_held(entry):
        return ""
    return entry.why or "the drill reached no verdict"


def _is_control_held(entry: Entry) -> bool:
    assert entry.run is not None
    return any(reason.check == CONTROL_HELD for reason in entry.run.verdict.reasons)


def _case(entry: Entry, arm: str, name: str, cases: int) -> ElementTree.Element:
    outcomes = [] if entry.run is None else entry.run.outcomes
    seconds = next((one.arm.seconds for one in outcomes if one.arm.name == arm), 0.0)
    return ElementTree.Element(
        "testcase", classname=f"{entry.drill.drill}.{arm}", name=name,
        time=f"{seconds / max(1, cases):.3f}",
    )  # fmt: skip


def _mark(case: ElementTree.Element, kind: str, of: str, said: str) -> ElementTree.Element:
    ElementTree.SubElement(case, kind, {"type": of, "message": said}).text = said
    return case
