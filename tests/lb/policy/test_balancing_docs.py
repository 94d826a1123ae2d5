"""The page on balancing: its examples print what it says, its defaults are true."""

import contextlib
import io
from pathlib import Path

import pytest

from lb.policy import outlier, outlier_rates, peak_ewma, priorities, slow_start, zones
from lb.policy.bounded_load import DEFAULT_BALANCE_PERCENT
from lb.policy.p2c import DEFAULT_BIAS
from lb.policy.rocksteadier import LOT
from lb.policy.subset import DEFAULT_SIZE
from tests.packaging.examples import examples_of

PAGE = Path(__file__).resolve().parents[3] / "docs" / "policies" / "balancing.md"
EXAMPLES = examples_of(PAGE)

pytestmark = pytest.mark.unit


def test_there_are_examples() -> None:
    """The pattern finds all blocks that the page has."""
    assert len(EXAMPLES) == PAGE.read_text().count("```python") == 7


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_prints_what_the_page_says(number: int) -> None:
    """Seeded, so to the last digit."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(EXAMPLES[number].source, "example", "exec"), {})  # noqa: S102

    assert printed.getvalue().strip() == EXAMPLES[number].printed.strip() != ""
    assert EXAMPLES[number].line_count <= 15


@pytest.mark.parametrize(
    "said",
    [
        f"bias {DEFAULT_BIAS:g}",
        f"unpicked for {peak_ewma.DEFAULT_FORCE_PICK_S:g} s",
        f"tau {peak_ewma.DEFAULT_TAU_S:g} s",
        f"| {DEFAULT_BALANCE_PERCENT} %",
        f"size {DEFAULT_SIZE}, lots of {LOT}",
        f"from {zones.DEFAULT_MIN_ENDPOINTS} endpoints",
        f"factor {priorities.DEFAULT_OVERPROVISIONING:g}",
        f"{slow_start.DEFAULT_WINDOW_S:g} s, aggression {slow_start.DEFAULT_AGGRESSION:g}",
        f"mean − {outlier_rates.DEFAULT_STDEV_FACTOR:g} standard deviations",
        f"failures of {outlier_rates.DEFAULT_FAILURE_RATIO:.0%} or more".replace("%", " %"),
        f"| {outlier.DEFAULT_CONSECUTIVE_FAILURES}; at most {outlier.DEFAULT_MAX_EJECTION_S:g} s",
    ],
)
def test_a_default_is_that_of_the_page(said: str) -> None:
    """Each default that the tables name, as the code has it."""
    assert said in PAGE.read_text()
