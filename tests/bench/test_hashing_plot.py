"""The figure of a hash comparison: well-formed, a bar for each, and a word for other input."""

from typing import Any
from xml.etree import ElementTree

import pytest

from bench.hashing_plot import PANEL_WIDTH, render

SVG = "{http://www.w3.org/2000/svg}"


def _comparison(moved: float | None) -> dict[str, Any]:
    change = {"moved_ratio": moved, "optimum_ratio": 0.25}
    result = {"algorithm": "a<b", "skew": 1.25, "on_add": change}
    return {"schema": "squall.hash-compare/1", "keys": 9, "nodes": [{}], "algorithms": [result]}


@pytest.mark.parametrize(("moved", "width"), [(0.5, PANEL_WIDTH / 2), (None, 0.0)])
def test_bars_are_as_long_as_their_figures(moved: float | None, width: float) -> None:
    """A skew of 1.25 and half the keys each fill half their panel; a refusal has no bar."""
    root = ElementTree.fromstring(render(_comparison(moved)))  # noqa: S314 - our own text
    bars = [float(bar.get("width", "nan")) for bar in root.iter(f"{SVG}rect")][1:]

    assert bars == [PANEL_WIDTH / 2, width]
    assert "a<b" in [text.text for text in root.iter(f"{SVG}text")]


def test_other_input_is_refused() -> None:
    """Another object, or a comparison in which nobody was added, gets a sentence."""
    with pytest.raises(ValueError, match="pipe"):
        render({"schema": "squall.status/1"})
    with pytest.raises(ValueError, match="--add"):
        render({**_comparison(0.5), "algorithms": [{"on_add": None}]})
