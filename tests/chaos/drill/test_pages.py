"""The page on drills names everything that a drill may say."""

import re

import pytest

from chaos.drill.catalogue import ROOT
from chaos.drill.fault_mistakes import KINDS
from chaos.drill.loading import check_source
from chaos.drill.metrics import METRICS
from chaos.drill.schema import ROUTES, Drill
from kit.source import parse_source

pytestmark = pytest.mark.unit

PAGE = (ROOT / "docs/drills/README.md").read_text()
PROSE = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
WORDS = set(re.findall(r"`([^`]+)`", PROSE))


def test_every_metric_route_and_kind_is_on_the_page() -> None:
    """And the page names no metric that isn't one."""
    assert set(METRICS) <= WORDS
    assert set(ROUTES) <= WORDS
    assert set(KINDS) <= WORDS
    rows = re.findall(r"^\| (`[a-z_]+`.*?) \|", PAGE.partition("### Metrics")[2], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert named - {"within_ms"} == set(METRICS)


def test_every_key_of_a_drill_is_in_the_example() -> None:
    """At the top level; the example is what people copy."""
    example = PAGE.partition("```yaml")[2].partition("```")[0]
    keys = {"set" if name == "setup" else name for name in Drill.__struct_fields__}

    assert keys - {"steady_share"} <= set(re.findall(r"^([a-z_]+):", example, re.MULTILINE))


def test_example_of_how_to_write_one_is_a_valid_drill() -> None:
    """People copy it; its bounds are those of the arithmetic beside it."""
    text = (ROOT / "docs/write-a-drill.md").read_text()
    example = text.partition("```yaml\n")[2].partition("```")[0]

    drill = check_source(parse_source(example, "write-a-drill.md"))

    assert drill.drill == "reset-link"
    assert (drill.hypotheses[0].bound, drill.control.refutations()[0].bound) == ("<= 20", ">= 40")
    for command in re.findall(r"^    \./squall drill (\w+)", text, re.MULTILINE):
        assert command in {"validate", "show", "run", "stability"}
