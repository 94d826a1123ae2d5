"""The page on plain functions: its blocks to copy print what it says."""

import contextlib
import io
from pathlib import Path

import pytest

from tests.packaging.examples import Example, examples_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "policies" / "plain-functions.md"
PRINTING = [example for example in examples_of(PAGE) if example.printed]


@pytest.mark.unit
def test_guard_retried_and_the_transport_have_a_block_to_copy() -> None:
    """One each; the fourth block measures, and its figures are of a machine."""
    for name in ("guard(", "@retried(", "ResilientTransport("):
        assert sum(name in example.source for example in PRINTING) == 1
    assert len(examples_of(PAGE)) == len(PRINTING) + 1


@pytest.mark.unit
@pytest.mark.parametrize("example", PRINTING, ids=("guard", "retried", "httpx2"))
def test_a_block_prints_what_the_page_says(example: Example) -> None:
    """As it stands, to the last character."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example.source, "example", "exec"), {"__name__": "example"})  # noqa: S102

    assert printed.getvalue() == example.printed
