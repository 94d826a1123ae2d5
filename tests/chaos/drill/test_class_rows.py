"""One row per class under the fault: who was served, and who was refused."""

from pathlib import Path

import pytest

from chaos.drill.arms import control_arm, main_arm
from chaos.drill.class_rows import CLASS_COLUMNS, class_rows
from chaos.drill.judge import INCONCLUSIVE, Verdict
from chaos.drill.outcome import ArmOutcome
from chaos.drill.records import Record
from chaos.drill.report import DrillRun, as_json, as_markdown
from chaos.report.write import write_report
from tests.chaos.drill.build import arrivals, drill, record
from tests.chaos.report.build import write_run

pytestmark = pytest.mark.unit


def two_classes() -> list[Record]:
    """Buyers served in 100 ms; of ten others one served, nine refused; one buyer before that."""
    buyers = [record(n, 3 + n * 0.1, 0.1, route="buyer") for n in range(4)]
    served = record(10, 3.0, 0.3, route="other")
    refused = [
        record(20 + n, 3 + n * 0.1, 0.01, route="other", status=503, reason="CRITICALITY_SHED")
        for n in range(9)
    ]
    return [record(99, 0.5, 0.9, route="buyer"), *buyers, served, *refused]


def test_each_class_has_its_own_counts() -> None:
    """Of the fault phase alone, with latencies of successes alone."""
    buyer, other = class_rows(arrivals(two_classes()))

    assert (buyer["name"], buyer["sent"], buyer["in_time"], buyer["p95_ms"]) == ("buyer", 4, 4, 100)
    assert (other["sent"], other["in_time"], other["rejected"]) == (10, 1, 9)
    assert (other["reasons"], other["p50_ms"]) == ({"CRITICALITY_SHED": 9}, 300)
    assert set(CLASS_COLUMNS) <= set(buyer)


def test_a_single_class_has_no_table() -> None:
    """The phase's own row says the same."""
    assert class_rows(arrivals([record(n, 3 + n * 0.1) for n in range(4)])) == []
    assert class_rows(arrivals([])) == []


def test_run_tells_of_classes_in_both_arms(tmp_path: Path) -> None:
    """In the JSON, and in its text."""
    tiny = drill()
    main = ArmOutcome(main_arm(tiny), arrivals(two_classes()), {})
    control = ArmOutcome(control_arm(tiny), arrivals([]), {})
    run = DrillRun(tiny, "processes", 17, [], tmp_path, [main, control])
    run.verdict = Verdict(INCONCLUSIVE, [], [], control=[])

    data = as_json(run)
    assert [row["name"] for row in data["classes"]] == ["buyer", "other"]
    assert data["control"]["classes"] == []
    text = as_markdown(run)
    assert text.count("Under the fault, by class:") == 1
    assert "| other | 10 | 1 | 0 | 9 |" in text


def test_page_shows_a_table_per_arm_only_where_there_are_classes(tmp_path: Path) -> None:
    """Runs of older versions, which say nothing of classes, still have a page."""
    rows = class_rows(arrivals(two_classes()))
    title = "Arrivals by class under the fault"
    with_classes = write_report(write_run(tmp_path / "with", classes=rows)).read_text()
    without = write_report(write_run(tmp_path / "without")).read_text()

    assert title in with_classes
    assert ">buyer<" in with_classes.partition(title)[2]
    assert title not in without
