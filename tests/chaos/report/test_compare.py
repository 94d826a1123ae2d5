"""Two runs side by side."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chaos.report.compare import as_json, compare, figures, measured, text_row, warnings
from chaos.report.overlay import render_comparison
from chaos.report.run import Run, read_run
from squall.main import app
from tests.chaos.report.build import row, write_arm, write_run

pytestmark = pytest.mark.unit


def two_runs(root: Path) -> tuple[Run, Run]:
    """Make a run and one whose main arm lost half of the fault phase."""
    a = write_run(root / "tiny" / "20260101T000000Z")
    b = write_run(root / "tiny" / "20260101T000100Z")
    due = [n / 10 for n in range(100)]
    lost = [row(n, s, 0.1, 503 if 3 <= s < 7 and n % 2 else 200) for n, s in enumerate(due)]
    text = (b / "main" / "requests.csv").read_text().splitlines()[0]
    (b / "main" / "requests.csv").write_text("\n".join([text, *lost]) + "\n")
    return read_run(a), read_run(b)


def test_only_the_fault_phase_is_measured(tmp_path: Path) -> None:
    """40 of 100 arrivals, in four whole seconds."""
    a, _ = two_runs(tmp_path)

    records, seconds = measured(a.arms["main"])

    assert len(records) == 40
    assert list(seconds) == [3, 4, 5, 6]


def test_a_load_is_measured_over_all_but_its_warmup(tmp_path: Path) -> None:
    """Its phases have other names."""
    write_arm(tmp_path / "load", [row(0, 0.5), row(1, 1.5)])
    phases = [{"name": "warmup", "seconds": 1}, {"name": "main", "seconds": 2}]
    (tmp_path / "load" / "load.json").write_text(json.dumps({"phases": phases}))

    records, seconds = measured(read_run(tmp_path / "load").arms["main"])

    assert [record.number for record in records] == [1]
    assert list(seconds) == [1, 2]


def test_a_loss_differs_and_the_same_is_chance(tmp_path: Path) -> None:
    """Half of the fault phase rejected differs; the untouched control arm doesn't."""
    a, b = two_runs(tmp_path)
    rows = {(r.arm, r.figure): r for r in compare(a, b)}

    lost = rows["main", "rejected, share"]
    assert lost.difference is not None
    assert lost.difference.value == pytest.approx(0.5)
    assert lost.finding == "differs"
    assert rows["main", "answered in time, per second"].finding == "differs"
    assert rows["control", "failed, share"].finding == "within chance"
    assert rows["control", "p50, ms"].finding == "too few samples"


def test_a_percentile_of_few_samples_is_shown_and_not_judged(tmp_path: Path) -> None:
    """40 samples have a p99, and no interval that ends; JSON has no infinity."""
    a, _ = two_runs(tmp_path)
    rows = compare(a, a)
    data = as_json(a, a, rows)

    row_of_p99 = next(r for r in rows if (r.arm, r.figure) == ("main", "p99, ms"))
    assert row_of_p99.finding == "too few samples"
    assert text_row(row_of_p99)[5] == "? to ?"
    json.dumps(data, allow_nan=False)


def test_figures_of_an_arm_that_answered_nothing_have_no_latency(tmp_path: Path) -> None:
    """Shares stay."""
    a, _ = two_runs(tmp_path)

    found = figures(a.arms["control"])

    assert found["p50, ms"] is None
    failed = found["failed, share"]
    assert failed is not None
    assert failed.value == 1.0


def test_runs_that_are_hard_to_compare_say_so(tmp_path: Path) -> None:
    """Another drill, another seed, another machine, in doubt, no arm in common."""
    a = read_run(write_run(tmp_path / "a"))
    machine = {"cpu": "x", "cores": 2}
    b = Run("other", "s", {"verdict": "inconclusive", "seed": 18}, machine=machine)
    said = " | ".join(warnings(Run(a.name, "s", a.verdict, None, a.arms, {"cpu": "y"}), b))

    assert "two drills: tiny and other" in said
    assert "other/s is inconclusive" in said
    assert "seed 17 and 18" in said
    assert "different machines" in said
    assert "no arm in common" in said


def test_the_overlay_draws_both_runs_in_each_arm(tmp_path: Path) -> None:
    """Three charts an arm but where nothing answered, each with both lines."""
    a, b = two_runs(tmp_path)

    html = render_comparison(a, b, compare(a, b))

    assert html.count("<figure>") == 6
    assert "A: tiny/20260101T000000Z" in html
    assert 'class="line run-a"' in html
    assert 'class="line run-b"' in html


def test_the_command_prints_one_object_and_writes_the_page(tmp_path: Path) -> None:
    """By folder, with ``--json``."""
    two_runs(tmp_path)
    runs = [str(tmp_path / "tiny" / stamp) for stamp in ("20260101T000000Z", "20260101T000100Z")]
    out = tmp_path / "page.html"

    done = CliRunner().invoke(app, ["compare", *runs, "--out", str(out), "--json"])

    data = json.loads(done.stdout)
    assert done.exit_code == 0
    assert data["schema"] == "squall.compare/1"
    assert data["a"] == {"run": "tiny/20260101T000000Z", "verdict": "held"}
    first = next(f for f in data["figures"] if f["figure"] == "rejected, share")
    assert first["difference"]["low"] > 0
    assert first["finding"] == "differs"
    assert out.read_text().startswith("<!doctype html>")


def test_the_report_command_says_where_the_page_is(tmp_path: Path) -> None:
    """As text the path alone, so that a script can open it."""
    folder = write_run(tmp_path / "run")

    done = CliRunner().invoke(app, ["drill", "report", str(folder)])

    assert done.exit_code == 0
    assert done.stdout.strip() == str(folder / "report.html")
