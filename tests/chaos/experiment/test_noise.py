"""What differs beyond noise: plain numbers."""

import random

import pytest

from chaos.drill.observation import NOTHING_SEEN, Observation
from chaos.experiment import noise
from chaos.experiment.noise import differ, pool

pytestmark = pytest.mark.unit


def seen(*values: float, sd: float | None = None) -> list[Observation]:
    """The runs of a cell."""
    return [Observation(value, sd, 100) for value in values]


def test_the_mark_stands_at_three_deviations() -> None:
    """As the bounds of drills do (R4)."""
    assert noise.BEYOND_SD == 3.0
    a, b, c = pool([seen(1.0, sd=0.1), seen(1.42, sd=0.1), seen(1.43, sd=0.1)])
    assert not differ(a, b)  # 3 × 0.1 × √2 = 0.424
    assert differ(a, c)
    assert differ(c, a)
    assert a.half_width == pytest.approx(0.3)


def test_the_spread_is_pooled_over_all_cells() -> None:
    """Two cells of three: their squares over four degrees of freedom."""
    a, b = pool([seen(1.0, 2.0, 3.0), seen(10.0, 10.0, 10.0)])
    assert a.sd == b.sd == pytest.approx((2.0 / 4) ** 0.5)
    assert (a.mean, b.mean) == (2.0, 10.0)
    assert b.half_width == pytest.approx(3 * (0.5 / 3) ** 0.5)


def test_a_cell_is_never_known_better_than_its_runs_say() -> None:
    """Three runs that happen to agree don't make an uncertain figure certain."""
    lucky, _ = pool([seen(1.0, 1.0, 1.0, sd=0.2), seen(2.0, 2.0, 2.0, sd=0.2)])
    assert lucky.sd == pytest.approx(0.2)


def test_what_nobody_knows_differs_from_nothing() -> None:
    """A single percentile, a cell without sound runs, a run in which nothing was seen."""
    one, other = pool([seen(100.0), seen(900.0)])
    assert (one.sd, one.half_width, differ(one, other)) == (None, None, False)
    none, some = pool([[NOTHING_SEEN], seen(1.0, sd=0.1)])
    assert (none.mean, none.values, differ(none, some), differ(some, none)) == (
        None, [], False, False,
    )  # fmt: skip


def test_equals_are_seldom_marked() -> None:
    """Of 2,000 comparisons of the same thing, five cells three times each, one in fifty at most."""
    rng = random.Random(17)
    marked = 0
    for _ in range(500):
        cells = pool([seen(*(rng.gauss(5.0, 1.0) for _ in range(3))) for _ in range(5)])
        marked += sum(differ(cells[0], each) for each in cells[1:])
    assert 5 < marked < 40
