"""docs/policies/breaker.md: its picture is that of the table, its blocks print what it shows."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from resilience.policy.breaker_settings import BreakerSettings
from resilience.policy.breaker_states import diagram
from resilience.policy.sre_breaker import AEGIS, BOOK, KRATOS_V1, KRATOS_V3

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/policies/breaker.md").read_text(encoding="utf-8")
COPY, FIGURES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def printed(code: str) -> str:
    """Run a block of the page and return what it prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "breaker.md", "exec"), {})  # noqa: S102 - our own page
    return out.getvalue()


@pytest.mark.unit
def test_the_page_shows_the_diagram_of_the_table() -> None:
    """The Mermaid block is what the module draws, word for word."""
    assert f"```mermaid\n{diagram()}\n```" in PAGE


@pytest.mark.unit
def test_the_block_to_copy_prints_what_the_page_says() -> None:
    """It runs as printed, in at most fifteen lines."""
    assert f"```text\n{printed(COPY)}```" in PAGE
    assert len(COPY.splitlines()) <= 15


@pytest.mark.unit
def test_the_figures_are_those_of_the_script() -> None:
    """The table is the output of the script above it."""
    assert f"\n{printed(FIGURES)}\n" in PAGE


@pytest.mark.unit
def test_the_figures_of_a_hang_are_those_of_the_transcript() -> None:
    """Most held and time to recover stand in tests/golden/sre_breaker.txt."""
    transcript = (ROOT / "tests/golden/sre_breaker.txt").read_text(encoding="utf-8")
    for line, title, unit in (
        ("most held", "calls held at once, at most", ""),
        ("all pass again s", "all pass again after the end", " s"),
    ):
        [found] = [each for each in transcript.splitlines() if each.startswith(line)]
        figures = [f"{figure}{unit}" for figure in found.removeprefix(line).split()]
        assert f"| {title} | {' | '.join(figures)} |" in PAGE


@pytest.mark.unit
def test_defaults_on_the_page_are_those_of_the_code() -> None:
    """Presets and settings, as far as the tables give a figure."""
    for name, preset in (("AEGIS", AEGIS), ("KRATOS_V3", KRATOS_V3), ("BOOK", BOOK)):
        [row] = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` | ")]
        cells = [cell.strip().split(",")[0] for cell in row.strip("|").split("|")]
        assert cells[1] == f"{preset.k:.4g}"
        assert cells[2] == f"{1 - 1 / preset.k:.0%}".replace("%", " %")
        assert cells[3:5] == [f"{preset.min_requests}", f"{preset.window_s:g}"]
    assert "| `KRATOS_V1`, the default | 1.5 | 33 % | 100 | 3 |" in PAGE
    assert (KRATOS_V1.k, KRATOS_V1.min_requests, KRATOS_V1.window_s) == (1.5, 100, 3.0)
    settings = BreakerSettings()
    assert f"| `min_calls` | {settings.min_calls} |" in PAGE
    assert f"| `failure_ratio` | {settings.failure_ratio} |" in PAGE
    assert f"| `open_s` | {settings.open_s:g} s |" in PAGE
    assert f"| `half_open_calls` | {settings.half_open_calls}, " in PAGE
    assert f"| `max_half_open_s` | {settings.max_half_open_s:g} s; " in PAGE
