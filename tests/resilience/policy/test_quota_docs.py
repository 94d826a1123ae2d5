"""The page on quotas: its example prints what it says, its defaults are true."""

import contextlib
import io
from pathlib import Path

import pytest

from resilience.policy import token_lease
from tests.packaging.examples import examples_of

PAGE = Path(__file__).resolve().parents[3] / "docs" / "policies" / "quota.md"


@pytest.mark.unit
def test_the_example_prints_what_the_page_says() -> None:
    """Time comes in as a number, so to the last digit."""
    (example,) = examples_of(PAGE)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example.source, "example", "exec"), {})  # noqa: S102

    assert printed.getvalue() == example.printed
    assert example.line_count <= 15


@pytest.mark.unit
def test_the_defaults_are_those_of_the_page() -> None:
    """Each default that the table names, as the code has it."""
    text = PAGE.read_text()

    rounds = f"{token_lease.MIN_ROUND_S:g}, {token_lease.MAX_ROUND_S:g}"
    assert f"`MIN_ROUND_S`, `MAX_ROUND_S` | {rounds} |" in text
    assert f"`DECISIONS_A_TRIP` | {token_lease.DECISIONS_A_TRIP:g} |" in text
    lease = f"{token_lease.LEASE_ROUNDS:g}, {token_lease.MAX_FAILURES}"
    assert f"`LEASE_ROUNDS`, `MAX_FAILURES` | {lease} |" in text
