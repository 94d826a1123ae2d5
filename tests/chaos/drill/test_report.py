"""What a run prints and keeps, from plain numbers."""

from pathlib import Path
from typing import Any

import pytest

from chaos.drill.arms import control_arm, fault_windows, main_arm
from chaos.drill.judge import examine, examine_control, judge
from chaos.drill.metrics import Arrivals
from chaos.drill.outcome import ArmOutcome, fault_rows, measurement, phase_rows
from chaos.drill.probes import Evidence, Protection, busiest, most_telling_first, tell
from chaos.drill.report import DrillRun, as_json, as_markdown, as_text, make_folder
from chaos.drill.view import headline, sparkline
from tests.chaos.drill.build import arrivals, drill, record

pytestmark = pytest.mark.unit

CONTRACT = {
    "drill", "mode", "seed", "verdict", "phases", "hypotheses", "control", "load", "faults",
    "seconds_to_recover", "evidence", "replay",
}  # fmt: skip
HOPS: list[dict[str, Any]] = [
    {"instance": "gateway.1", "duration_ms": 1000.0, "status": "DEADLINE_EXCEEDED", "notes": []},
    {"instance": "video.1", "duration_ms": 981.0, "status": "DEADLINE_EXCEEDED", "notes": []},
    {"instance": "account.1", "duration_ms": 9.0, "status": "OK", "notes": []},
]


def good() -> Arrivals:
    """Everything answered at once: all of the capacity under the fault."""
    before = [record(n, n * 0.1) for n in range(30)]
    under = [record(100 + n, 3 + n * 0.05, 0.1) for n in range(80)]
    refused = [
        record(300 + n, 3 + n * 0.05, 0.01, status=503, reason="LIMIT_EXCEEDED") for n in range(80)
    ]
    return arrivals([*before, *under, *refused])


def finished(folder: Path) -> DrillRun:
    """A run with both arms: main good, control answering nothing."""
    tiny = drill()
    load = {"scheduled": 190, "sent": 190, "lag_p50_ms": 1.0, "lag_p99_ms": 6.0, "cpu_s": 0.2}
    evidence = [Evidence("c-7", "control", "expired", HOPS)]
    main = ArmOutcome(main_arm(tiny), good(), load, cores_used=0.8)
    control = ArmOutcome(control_arm(tiny), arrivals([]), load, evidence=evidence)
    run = DrillRun(tiny, "processes", 17, ["needs.cores=1"], folder, [main, control])
    run.verdict = judge(
        tiny, examine(tiny, main.arrivals), examine_control(tiny, control.arrivals), []
    )
    return run


def test_json_has_every_key_of_the_contract(tmp_path: Path) -> None:
    """What later work and checks rely on."""
    data = as_json(finished(tmp_path))

    assert set(data) >= CONTRACT
    assert set(data["hypotheses"][0]) >= {
        "name", "observed", "bound", "unit", "held", "exercised",
    }  # fmt: skip
    assert set(data["control"]) >= {"verdict", "off", "hypotheses"}
    assert set(data["load"]) >= {"scheduled", "sent", "lag_p99_ms"}
    assert set(data["faults"][0]) >= {"kind", "target", "proof"}
    assert data["replay"] == "squall drill run tiny --seed 17 --set needs.cores=1"
    assert data["verdict"] == "held"


def test_text_says_verdict_control_evidence_and_replay(tmp_path: Path) -> None:
    """In a handful of lines."""
    text = as_text(finished(tmp_path))

    assert text.startswith("HELD         goodput 1.00 ≥ 0.85")
    assert "CONTROL      refuted as it must be: goodput 0.00 not ≥ 0.85 without limiter" in text
    assert "request c-7 took 1000 ms, 981 of them in video.1 (DEADLINE_EXCEEDED)" in text
    assert "replay: squall drill run tiny --seed 17" in text
    assert len(text.splitlines()) <= 5


def test_last_line_leads_to_the_hops_that_the_report_keeps(tmp_path: Path) -> None:
    """Processes have forgotten the request by then; without evidence it leads nowhere."""
    run = finished(tmp_path)
    with_hops = as_text(run).splitlines()[-1]
    for outcome in run.outcomes:
        outcome.evidence = []

    assert with_hops.endswith(" · hops of c-7: report.html#request")
    assert "squall explain" not in with_hops
    assert as_text(run).endswith(run.replay)


def test_page_has_a_table_of_arrivals_per_arm(tmp_path: Path) -> None:
    """And one of hypotheses."""
    page = as_markdown(finished(tmp_path))

    assert "## Arrivals in the main arm" in page
    assert "| goodput | 1.00 |" in page
    assert "control, expired: request c-7" in page


def test_run_without_results_can_be_reported(tmp_path: Path) -> None:
    """Interrupted before the first arm ended."""
    run = DrillRun(drill(), "processes", 1, [], tmp_path)

    assert as_json(run)["phases"] == []
    assert as_json(run)["control"] is None
    assert as_text(run).startswith("INCONCLUSIVE")
    as_markdown(run)


def test_phases_count_every_end() -> None:
    """Successes, refusals and their reasons, percentiles."""
    rows = {row["name"]: row for row in phase_rows(ArmOutcome(main_arm(drill()), good()))}

    fault = rows["fault"]
    assert (fault["sent"], fault["in_time"], fault["rejected"]) == (160, 80, 80)
    assert fault["reasons"] == {"LIMIT_EXCEEDED": 80}
    assert fault["p95_ms"] == pytest.approx(100, abs=0.1)


def test_spike_of_load_is_a_fault_with_proof() -> None:
    """More than 1.5 times the capacity was really offered; else there is no proof."""
    tiny = drill()
    (spike,) = fault_rows(tiny, ArmOutcome(main_arm(tiny), good()))
    (flat,) = fault_rows(tiny, ArmOutcome(main_arm(tiny), arrivals([])))

    assert (spike["kind"], spike["target"]) == ("load", "video")
    assert spike["proof"] == {"hits": 160, "offered_rps": 40.0, "capacity_rps": 20.0}
    assert flat["proof"]["hits"] == 0


def test_measurement_sums_up_an_arm() -> None:
    """Steady share, proofs and loops that a fault blocks on purpose."""
    blocking = drill(
        faults=[{"kind": "block", "on": "gateway.1", "for": 2, "ms": 100, "every_ms": 500}]
    )
    outcome = ArmOutcome(
        main_arm(blocking), good(), {"scheduled": 190, "sent": 190},
        proofs={"tiny-1": {"hits": 4}},
        faults=fault_windows(blocking, main_arm(blocking)),
    )  # fmt: skip

    measured = measurement(blocking, outcome, 2.0)

    assert measured.unsettled == ["gateway.1"]
    assert measured.steady_share == 1.0
    assert measured.proofs == {"tiny-1": 4.0, "tiny-load": 160.0}


def test_folder_is_linked_as_the_latest(tmp_path: Path) -> None:
    """runs/<drill>/<utc>/ and runs/<drill>/latest, also the second time."""
    make_folder(tmp_path, "tiny")
    folder = make_folder(tmp_path, "tiny")

    assert (tmp_path / "runs/tiny/latest").resolve() == folder.resolve()
    assert folder.parent == tmp_path / "runs/tiny"


def test_refusal_is_told_by_who_refused() -> None:
    """The note of the hop that rejected decides."""
    hops = [
        {"instance": "gateway.1", "duration_ms": 4.0, "notes": []},
        {
            "instance": "video.1",
            "duration_ms": 0.2,
            "notes": [{"policy": "limiter", "what": "rejected"}],
        },
    ]

    assert tell(Evidence("m-1", "main", "rejected", hops)) == (
        "request m-1 was refused by video.1's limiter after 4 ms"
    )


def test_headline_says_what_comes() -> None:
    """Arms, seconds, and that Ctrl-C is safe."""
    line = headline(drill(), 84.0, ["main", "control"])

    assert line == (
        "tiny · 0 · tiny · main, then control without limiter · about 84 s · "
        "Ctrl-C restores everything"
    )


def test_sparkline_shows_answers_in_time_by_second() -> None:
    """Ten, none, five."""
    some = [
        *(record(n, 0.5) for n in range(10)),
        record(20, 1.5, status=503),
        *(record(30 + n, 2.5) for n in range(5)),
    ]

    assert sparkline(arrivals(some)) == "█▁▅"
    assert sparkline(arrivals([])) == ""


def test_wait_in_a_queue_is_told_as_such() -> None:
    """When more than half of a request's time was spent there."""
    hops: list[dict[str, Any]] = [
        {
            "instance": "gateway.1",
            "duration_ms": 1206.0,
            "notes": [{"policy": "concurrency", "what": "waited", "detail": {"ms": 1153.8}}],
        }
    ]

    assert tell(Evidence("c-1", "control", "late", hops)) == (
        "request c-1 waited 1154 of its 1206 ms in gateway.1's concurrency queue"
    )


def test_policy_is_shown_where_it_refuses_most() -> None:
    """Of both gateways and all dependencies; gates of other policies are left out."""
    answers = {
        "gateway.1": {
            "comment.bulkhead": {"in_flight": 8, "limit": 8, "rejected": 40},
            "video.bulkhead": {"in_flight": 2, "limit": 8, "rejected": 0},
            "comment.breaker": {"in_flight": 1, "rejected": 99},
        },
        "gateway.2": {"comment.bulkhead": {"in_flight": 7, "limit": 8, "rejected": 12}},
    }

    (bulkhead,) = busiest(answers, ["bulkhead"])

    assert str(bulkhead) == "bulkhead gateway.1>comment: 8 of 8 in flight, 40 rejected"
    assert busiest({"video.1": {"limiter": {"in_flight": 3, "rejected": 1}}}, ["limiter"]) == [
        Protection("limiter", "video.1", 3.0, None, 1.0)
    ]


def test_evidence_of_harm_comes_first_where_nothing_protects() -> None:
    """In the main arm a refusal tells most, in the control an expired request."""
    some = [Evidence("1", arm, kind, HOPS) for arm in ("main", "control")
            for kind in ("late", "rejected", "expired")]  # fmt: skip

    ordered = most_telling_first(some)

    assert next(e.kind for e in ordered if e.arm == "main") == "rejected"
    assert next(e.kind for e in ordered if e.arm == "control") == "expired"
