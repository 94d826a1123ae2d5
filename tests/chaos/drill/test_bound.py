"""Bounds."""

import pytest

from chaos.drill.bound import parse_bound

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "holding", "failing"),
    [(">= 0.85", 0.85, 0.849), ("<= 5", 5.0, 5.1), ("== 0", 0.0, 1.0), ("<=-1.5", -2.0, 0.0)],
)
def test_bound_holds_up_to_its_value(text: str, holding: float, failing: float) -> None:
    """The value itself is inside."""
    bound = parse_bound(text)

    assert bound.holds(holding)
    assert not bound.holds(failing)
    assert not bound.holds(None)


def test_margin_is_counted_in_standard_deviations() -> None:
    """0.99 against 0.85 with a deviation of 0.02 is seven of them."""
    bound = parse_bound(">= 0.85")

    assert bound.margin_sd(0.99, 0.02) == pytest.approx(7.0)
    assert bound.margin_sd(None, 0.02) is None
    assert bound.margin_sd(0.99, None) is None
    assert str(bound) == "≥ 0.85"


@pytest.mark.parametrize("text", ["0.85", "> 3", ">= x", "", ">= 1 s"])
def test_what_is_no_bound_is_refused(text: str) -> None:
    """With an example of one."""
    with pytest.raises(ValueError, match=r"write >= 0\.85"):
        parse_bound(text)


def test_none_at_all_has_no_margin_when_it_is_kept() -> None:
    """0 of <= 0 isn't near a bound; 4 of <= 0 is two deviations away, and 0 of >= 0 is at it."""
    assert parse_bound("<= 0").margin_sd(0.0, 1.0) is None
    assert parse_bound("== 0").margin_sd(0.0, 1.0) is None
    assert parse_bound("<= 0").margin_sd(4.0, 2.0) == 2.0
    assert parse_bound(">= 0").margin_sd(0.0, 1.0) == 0.0
