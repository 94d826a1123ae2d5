"""Many runs of one drill, summed up: plain numbers."""

from typing import Any

import pytest

from chaos.drill import stability
from chaos.drill.ablation import table_of, text_table
from chaos.drill.stability import Stability, as_json, sum_up

pytestmark = pytest.mark.unit


def finding(value: float | None, margin: float | None, **more: Any) -> dict[str, Any]:
    """Make a finding as verdict.json has it."""
    return {
        "name": "goodput", "bound": ">= 0.85", "observed": value, "margin_sd": margin,
        "held": value is not None and value >= 0.85, **more,
    }  # fmt: skip


def run(
    seed: int, value: float = 0.99, margin: float | None = 5.0, verdict: str = "held"
) -> dict[str, Any]:
    """Make a run's verdict."""
    return {
        "drill": "tiny", "seed": seed, "verdict": verdict, "smallest_margin_sd": margin,
        "reasons": [{"check": "x", "message": "why"}] if verdict != "held" else [],
        "hypotheses": [finding(value, margin)],
        "control": {
            "refutes": ["goodput"],
            "hypotheses": [
                finding(0.05, 9.0 - seed, must_show="<= 0.3"),
                {**finding(1.0, 2.0), "name": "quick"},
            ],
        },
        "replay": f"squall drill run tiny --seed {seed}", "folder": f"runs/tiny/{seed}",
    }  # fmt: skip


def of(*verdicts: dict[str, Any], not_run: int = 0) -> Stability:
    """Sum up."""
    return sum_up("tiny", verdicts, not_run)


def test_constants_are_the_documented_ones() -> None:
    """Twenty runs, three standard deviations (drills.md R4)."""
    assert (stability.DEFAULT_RUNS, stability.ENOUGH_SD) == (20, 3.0)


@pytest.mark.parametrize(
    ("summed", "code"),
    [
        (of(run(1), run(2, margin=3.0)), 0),
        (of(run(1), run(2, margin=2.9)), 4),
        (of(run(1), run(2, verdict="inconclusive")), 4),
        (of(run(1), run(2, verdict="refuted"), run(3, verdict="inconclusive")), 1),
        (of(run(1), not_run=1), 4),
        (of(run(1, margin=None)), 4),
        (of(not_run=2), 4),
    ],
)
def test_exit_code_says_whether_it_is_fit_for_ci(summed: Stability, code: int) -> None:
    """0 needs every run held and margin enough."""
    assert summed.exit_code == code


def test_each_hypothesis_has_its_spread_in_both_arms() -> None:
    """In the control arm against what it must show; what decides nothing there has no margin."""
    summed = of(run(1, 0.9, 4.0), run(2, 0.95, 5.0), run(3, 1.0, 6.0))

    assert [one.row() for one in summed.spreads] == [
        ["main", "goodput", "≥ 0.85", "3", "0.9", "0.95", "1", "4.0"],
        ["control", "goodput", "≤ 0.3", "3", "0.05", "0.05", "0.05", "6.0"],
        ["control", "quick", "≥ 0.85", "3", "1", "1", "1", ""],
    ]
    assert summed.smallest_margin_sd == 4.0


def test_worst_run_is_the_one_to_look_at() -> None:
    """A refuted one before an inconclusive one before the nearest that held."""
    near, doubtful = run(1, margin=3.1), run(2, verdict="inconclusive")

    assert of(run(3), near).worst is near
    assert of(near, doubtful).worst is doubtful
    assert of(doubtful, run(4, verdict="refuted")).worst == run(4, verdict="refuted")
    assert of().worst is None


def test_json_says_everything_that_the_table_does() -> None:
    """And each run, with why it didn't hold."""
    verdicts = [run(1), run(2, 0.5, 1.0, "refuted")]

    data = as_json(sum_up("tiny", verdicts), verdicts)

    assert (data["exit_code"], data["verdicts"]) == (1, {"held": 1, "refuted": 1})
    assert data["hypotheses"][0]["median"] == pytest.approx(0.745)
    assert data["worst"]["seed"] == 2
    assert [one["why"] for one in data["each"]] == [[], ["why"]]


def test_never_observed_is_told_as_such() -> None:
    """A hypothesis that saw nothing in any run."""
    never = run(1)
    never["hypotheses"] = [finding(None, None)]

    assert of(never).spreads[0].row()[4:] == ["never", "never", "never", ""]


def test_ablation_is_one_table_with_the_main_arm_first() -> None:
    """A hypothesis that a short arm can't judge has a dash."""
    verdict = {
        **run(1),
        "ablation": [
            {"off": "without limiter", "hypotheses": [finding(0.06, None)]},
            {"off": "without any of them", "hypotheses": []},
        ],
    }

    head, rows = table_of(verdict)

    assert head == ["arm", "goodput"]
    assert rows == [
        ["main arm", "0.99 held"],
        ["without limiter", "0.06 not held"],
        ["without any of them", "–"],
    ]
    assert text_table(head, rows)[1] == "main arm             0.99 held"
    assert table_of(run(1)) == ([], [])
