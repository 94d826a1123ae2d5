"""The page on rate limits: its example prints what it says, its defaults are true."""

import contextlib
import io
from pathlib import Path

import pytest

from resilience.policy.keyed import MAX_KEYS
from resilience.policy.pacer import MAX_WAIT_S
from resilience.policy.sliding_window import WINDOW_S
from resilience.policy.warm_up import COLD_FACTOR, PERIOD_S
from tests.packaging.examples import examples_of

PAGE = Path(__file__).resolve().parents[3] / "docs" / "policies" / "rate-limits.md"


@pytest.mark.unit
@pytest.mark.parametrize(("number", "most_lines"), [(0, 15), (1, 24)])
def test_the_examples_print_what_the_page_says(number: int, most_lines: int) -> None:
    """Seeded, or counted, so to the last digit."""
    example = examples_of(PAGE)[number]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example.source, "example", "exec"), {"__name__": "example"})  # noqa: S102

    assert printed.getvalue() == example.printed
    assert example.line_count <= most_lines


@pytest.mark.unit
def test_the_defaults_are_those_of_the_page() -> None:
    """Each default that the table names, as the code has it."""
    text = PAGE.read_text()

    assert f"{MAX_KEYS:,} at most" in text
    assert f"`window_s` {WINDOW_S:g}" in text
    assert f"`cold_factor` {COLD_FACTOR:g}, `period_s` {PERIOD_S:g}" in text
    assert f"`max_wait_s` {MAX_WAIT_S:g}" in text
