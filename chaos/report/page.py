"""The report of one run as one HTML page that opens offline.

Pure: from a run to text. Each section stands for itself and is left out when the run hasn't got it.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from chaos.drill.ablation import UNJUDGED_BY, table_of
from chaos.drill.arms import CONTROL, MAIN, control_arm, main_arm, switch_positions
from chaos.drill.class_rows import CLASS_COLUMNS
from chaos.drill.fault import KNOCKING_OUT
from chaos.drill.metrics import percentile_ms
from chaos.drill.probes import Evidence, tell
from chaos.report.charts import KIND_TEXTS, arrival_charts, curve_chart, latency_charts
from chaos.report.markup import (
    Cell,
    captioned,
    document,
    folded,
    legend,
    paragraph,
    section,
    table,
)
from chaos.report.run import ArmRun, Run
from chaos.report.series import PERCENTILES, latencies_ms, percentile_curve
from chaos.report.waterfall import choose, waterfall
from chaos.report.words import FINDING_HEAD, finding_row, headline, sentences
from resilience.policy.contract import Mode

OFF = Mode.OFF.value
PHASE_COLUMNS = (
    "name", "sent", "in_time", "late", "rejected", "expired", "failed", "degraded", "p50_ms",
    "p95_ms",
)  # fmt: skip
CURVE_PERCENTILES = (0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
REQUEST_ANCHOR = "request"  # where a drill's last line leads
SERIES_NOTE = (
    "Each arrival counts in the second in which it was due. Latency runs from that moment and is "
    "of successes only; with fewer than a hundred in a second p99 is the slowest of them."
)


def render(run: Run) -> str:
    """Return the page."""
    verdict = run.verdict
    arms = list(run.arms.values())
    body = [
        _head(run),
        _verdict(verdict),
        section("Hypotheses", *_hypotheses(verdict)),
        section("Second by second", *_series(arms)),
        section("Latency by percentile", *_curves(arms)),
        section("Arrivals by phase", *_arrivals(verdict, "phases", PHASE_COLUMNS)),
        section("Arrivals by class under the fault", *_arrivals(verdict, "classes", CLASS_COLUMNS)),
        section("Policies of each arm", *_policies(run)),
        section("Faults and their proof", *_faults(verdict)),
        section("Commands", *_commands(verdict)),
        section("One request, hop by hop", *_request(run), anchor=REQUEST_ANCHOR),
        section("Machine and versions", *_machine(run)),
        section("Replay", *_replay(verdict)),
    ]
    return document(f"{run.label}: {verdict.get('verdict', 'no verdict')}", "\n".join(body))


def _head(run: Run) -> str:
    lines = [f"<h1>{escape(run.name)}</h1>"]
    if run.drill:
        lines += [paragraph(run.drill.title), paragraph(f"Incident: {run.drill.incident}.")]
    if run.verdict.get("lesson"):
        lines.append(paragraph(f"Lesson: {run.verdict['lesson']}."))
    facts = [run.stamp, *(f"{n} {run.verdict[n]}" for n in ("mode", "seed") if n in run.verdict)]
    return "\n".join([*lines, paragraph(" · ".join(facts), "quiet")])


def _verdict(verdict: Mapping[str, Any]) -> str:
    said = "".join(paragraph(sentence) for sentence in sentences(verdict))
    css = escape(str(verdict.get("verdict", "none")))
    return f'<div class="verdict {css}"><strong>{escape(headline(verdict))}</strong>{said}</div>'


def _hypotheses(verdict: Mapping[str, Any]) -> list[str]:
    parts = [_findings("main arm", verdict.get("hypotheses") or ())]
    control = verdict.get("control")
    if control:
        name = f"control arm, without {' and '.join(control['off'])}"
        parts.append(_findings(name, control["hypotheses"]))
    head, rows = table_of(verdict)
    if rows:
        parts += [table(head, rows, f"ablation. {UNJUDGED_BY}")]
    return parts


def _findings(caption: str, findings: Sequence[Mapping[str, Any]]) -> str:
    return table(FINDING_HEAD, map(finding_row, findings), caption) if findings else ""


def _series(arms: Sequence[ArmRun]) -> list[str]:
    if not arms:
        return []
    return [
        paragraph(SERIES_NOTE, "quiet"),
        "<h3>Arrivals</h3>",
        legend(KIND_TEXTS.items()),
        _pair(arrival_charts(arms)),
        "<h3>Latency</h3>",
        legend((name, name) for name in PERCENTILES),
        _pair(latency_charts(arms)),
    ]


def _curves(arms: Sequence[ArmRun]) -> list[str]:
    ordered = {arm.name: latencies_ms(arm.arrivals.records) for arm in arms}
    curves = {name: percentile_curve(of) for name, of in ordered.items() if of}
    if not curves:
        return []
    names = [(name, f"{name} arm: {len(ordered[name])} successes") for name in curves]
    rows = [
        [f"{100 * p:g}%", *(percentile_ms(ordered[n], p) for n in curves)]
        for p in CURVE_PERCENTILES
    ]
    twin = table(["percentile", *curves], rows, "milliseconds of successes")
    drawing = curve_chart("curve", "latency by percentile", curves)
    caption = "Of successes in all phases, from the moment each was due. Both axes are logarithmic."
    return [legend(names), captioned(drawing, caption, folded("the same as a table", twin))]


def _arrivals(verdict: Mapping[str, Any], part: str, columns: Sequence[str]) -> list[str]:
    head = [column.replace("_", " ") for column in columns]
    arms = (("main arm", verdict), ("control arm", verdict.get(CONTROL) or {}))
    return [
        table(head, [[row.get(c) for c in columns] for row in data[part]], name)
        for name, data in arms
        if data.get(part)
    ]


def _policies(run: Run) -> list[str]:
    if run.drill is None:
        return []
    names = (main_arm(run.drill), control_arm(run.drill))
    sets = [switch_positions(arm.policies) for arm in names]
    keys = sorted({(target, name) for one in sets for target in one for name in one[target]})
    positions = {
        (target, name): [one.get(target, {}).get(name, OFF) for one in sets]
        for target, name in keys
    }
    rows: list[list[Cell]] = [
        [name, "everywhere" if target == "*" else target, *modes]
        for (target, name), modes in positions.items()
        if set(modes) != {OFF}
    ]
    return [
        table(["policy", "where", "main", "control"], rows, "what isn't named is off in both arms"),
        _setup(run),
    ]


def _setup(run: Run) -> str:
    assert run.drill is not None
    setup = run.drill.setup
    rows = [
        [target, f"{s.workers} workers of {s.mean_ms:g} ms, cv {s.cv:g}"]
        for target, s in setup.stations.items()
    ]
    rows += [
        [target, ", ".join(f"{name} {value:g}" for name, value in values.items())]
        for target, values in setup.settings.items()
    ]
    rows += [[target, "drained"] for target in setup.drains]
    return table(["where", "set to"], rows, "the same in both arms") if rows else ""


def _faults(verdict: Mapping[str, Any]) -> list[str]:
    arms = (("main", verdict), ("control", verdict.get(CONTROL) or {}))
    rows = [
        [
            fault["id"],
            arm,
            fault.get("words") or f"{fault['kind']} on {fault['target']}",
            _when(fault),
            _proof(fault["proof"]),
        ]
        for arm, data in arms
        for fault in data.get("faults") or ()
    ]
    return [table(["fault", "arm", "what", "when", "proof"], rows, "that it bit")] if rows else []


def _proof(proof: Mapping[str, Any]) -> str:
    return ", ".join(_figure(name, value) for name, value in proof.items() if value not in ("", []))


def _figure(name: str, value: object) -> str:
    if isinstance(value, list | tuple):
        return f"{name} {' and '.join(map(str, value))}"
    return f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"


def _when(fault: Mapping[str, Any]) -> str:
    if "from_s" not in fault:
        return ""
    return f"{float(fault['from_s']):.3g} to {float(fault['to_s']):.3g} s"


def _commands(verdict: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            one["arm"],
            f"squall {one['command']}",
            round(one["seconds"], 2),
            _rounded(one.get("cpu_wait_s")),
            one["exit_code"],
        ]
        for one in verdict.get("commands") or ()
    ]
    head = ["arm", "command", "seconds", "of them without a CPU", "exit code"]
    return [table(head, rows, "run 3 s into the first fault")] if rows else []


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _request(run: Run) -> list[str]:
    evidence = run.verdict.get("evidence") or ()
    chosen = choose(evidence)
    if chosen is None:
        return []
    others = "".join(f"<li>{escape(_told(one))}</li>" for one in evidence if one.get("hops"))
    return [
        paragraph(f"{_told(chosen)}."),
        *map(paragraph, absentees(run, chosen)),
        waterfall(chosen["hops"]),
        f"<h3>All that were asked about</h3><ul>{others}</ul>",
    ]


def absentees(run: Run, chosen: Mapping[str, Any]) -> list[str]:
    """Say whose hops are missing because a fault had taken them away when the request ran."""
    arm = run.arms.get(str(chosen["arm"]))
    if arm is None or "t0_unix_s" not in arm.load:
        return []
    began_s = min(float(hop["started_unix_s"]) for hop in chosen["hops"]) - arm.load["t0_unix_s"]
    seen = {str(hop["instance"]) for hop in chosen["hops"]}
    verdict = run.verdict if arm.name == MAIN else run.verdict.get(CONTROL) or {}
    said = []
    for fault in verdict.get("faults") or ():
        acted = fault.get("from_s", 0.0) <= began_s <= fault.get("to_s", 0.0)
        gone = [n for n in fault["proof"].get("instances", ()) if n not in seen]
        if acted and gone and fault["kind"] in KNOCKING_OUT:
            said.append(
                f"{' and '.join(gone)} could not be asked what became of it: "
                f"{fault.get('words', fault['kind'])}."
            )
    return said


def _told(one: Mapping[str, Any]) -> str:
    evidence = Evidence(one["request_id"], one["arm"], one["kind"], one["hops"])
    return f"{evidence.arm} arm, {evidence.kind}: {tell(evidence)}"


def _machine(run: Run) -> list[str]:
    used = (run.verdict.get("cores_used") or {}).items()
    rows = [
        *_machine_rows(run.machine),
        *((f"cores used under the fault, {arm} arm", f"{cores:g}") for arm, cores in used),
        *(
            (f"generator, {arm.name} arm", f"{arm.load['lag_p99_ms']:g} ms late at p99")
            for arm in run.arms.values()
            if "lag_p99_ms" in arm.load
        ),
    ]
    return [table(["what", "value"], rows, "on which this was measured")] if rows else []


def _machine_rows(machine: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not machine:
        return []
    return [
        ("processor", f"{machine.get('cpu')}, {machine.get('cores')} cores"),
        ("memory", f"{float(machine.get('memory_bytes', 0)) / 2**30:.1f} GiB"),
        *((name, str(machine.get(name))) for name in ("system", "python", "valkey")),
        *(machine.get("packages") or {}).items(),
    ]


def _replay(verdict: Mapping[str, Any]) -> list[str]:
    line = verdict.get("replay")
    return [f"<pre><code>./{escape(str(line))}</code></pre>"] if line else []


def _pair(charts: Sequence[str]) -> str:
    return f'<div class="pair">{"".join(charts)}</div>'
