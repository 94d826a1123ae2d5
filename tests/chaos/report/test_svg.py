"""Scales and lines with plain numbers."""

import xml.etree.ElementTree as ET

import pytest

from chaos.report import svg

pytestmark = pytest.mark.unit


def test_linear_ticks_are_round() -> None:
    """0 to 47 is told by tens."""
    assert svg.ticks(0.0, 47.0) == [0.0, 10.0, 20.0, 30.0, 40.0]


def test_log_ticks_become_decades_when_there_are_many() -> None:
    """Two decades have 1, 2, 5; five have their powers alone."""
    assert svg.log_ticks(10.0, 100.0) == [10.0, 20.0, 50.0, 100.0]
    assert svg.log_ticks(1.0, 100_000.0) == pytest.approx([1, 10, 100, 1000, 10_000, 100_000])


def test_equal_factors_take_equal_space_on_a_log_scale() -> None:
    """10 lies in the middle between 1 and 100."""
    scale = svg.Scale(1.0, 100.0, 0.0, 50.0, is_log=True)

    assert scale(10.0) == pytest.approx(25.0)
    assert scale(1000.0) == pytest.approx(50.0)


def test_a_missing_figure_breaks_the_line_and_a_lone_one_is_a_dot() -> None:
    """Three values with a gap: one stretch, one dot."""
    frame = svg.Frame(svg.x_scale(0, 4), svg.y_scale(0, 10), "s", "n")

    drawn = svg.line(frame, [(0, 1.0), (1, 2.0), (2, None), (3, 4.0)], "p50")

    assert drawn.count("M") == 2
    assert drawn.count("L") == 2


def test_a_line_of_nothing_is_not_drawn() -> None:
    """No empty path."""
    frame = svg.Frame(svg.x_scale(0, 4), svg.y_scale(0, 10), "s", "n")

    assert svg.line(frame, [(0, None)], "p50") == ""


def test_a_figure_has_a_title_and_a_description_and_escapes_both() -> None:
    """It parses as XML, and its label points to both."""
    root = ET.fromstring(svg.figure("f", "a < b", "c & d", ""))  # noqa: S314 - our own text

    assert root.attrib["role"] == "img"
    assert root.attrib["aria-labelledby"] == "f-t f-d"
    assert [child.text for child in root] == ["a < b", "c & d"]
