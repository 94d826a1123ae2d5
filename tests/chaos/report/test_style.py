"""The palette keeps WCAG's contrasts in both schemes."""

from itertools import product

import pytest

from chaos.report.style import (
    DARK,
    GROUNDS,
    LIGHT,
    LINE_COLOURS,
    TEXT_COLOURS,
    Palette,
    stylesheet,
)

pytestmark = pytest.mark.unit


def luminance(colour: str) -> float:
    """Return WCAG's relative luminance of #rrggbb."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return WCAG's contrast of two colours, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_keeps_four_and_a_half(palette: Palette) -> None:
    """On every ground that text stands on."""
    for name, ground in product(TEXT_COLOURS, GROUNDS):
        assert contrast(palette[name], palette[ground]) >= 4.5, (name, ground)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_keep_three(palette: Palette) -> None:
    """On the page and on the band where a fault was active."""
    for name, ground in product(LINE_COLOURS, GROUNDS):
        assert contrast(palette[name], palette[ground]) >= 3, (name, ground)


def test_the_sheet_has_light_dark_and_print_and_loads_nothing() -> None:
    """Three looks, and no address in it."""
    css = stylesheet()

    assert "@media screen and (prefers-color-scheme:dark)" in css
    assert "@media print" in css
    assert "url(" not in css
    assert "@import" not in css


def test_every_colour_has_a_value_in_both_schemes() -> None:
    """A name missing in one would fall back to nothing."""
    assert LIGHT.keys() == DARK.keys()
