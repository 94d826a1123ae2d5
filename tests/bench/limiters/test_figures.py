"""The figures: each against records made so that its value is known."""

from math import isclose

import pytest

from bench.limiters import figures as module
from bench.limiters.figures import (
    figures,
    goodput,
    inversions,
    jain,
    percentile,
    settled_s,
)
from bench.limiters.records import BROKEN, LATE, UNSENT, Record
from bench.limiters.trace import RECOVERY, SLOW, STEP
from tests.bench.limiters.made import CRITICAL, answered, even, refused

pytestmark = pytest.mark.unit


def test_the_documented_figures_hold() -> None:
    """2 s within 5 %; an inversion within half a second."""
    assert (module.WINDOW_S, module.TOLERANCE, module.INVERSION_S) == (2.0, 0.05, 0.5)


def test_goodput_counts_what_was_complete_in_time_within_the_phase() -> None:
    """350 answers are all that 5 workers can do in the 7 s of the step."""
    assert goodput(even(4.0, 11.0, 50.0), STEP) == 1.0
    assert goodput(even(4.0, 7.5, 50.0), STEP) == 0.5
    assert goodput([answered(10.5, 0.6)], STEP) == 0.0
    assert goodput([answered(3.5, 0.6)], STEP) == 1 / 350


def test_an_answer_after_its_deadline_is_no_good() -> None:
    """Counted from the scheduled time, as is one that was refused or broken."""
    assert goodput([answered(5.0, 1.001)], STEP) == 0.0
    assert goodput([answered(5.0, 1.0)], STEP) == 1 / 350
    assert goodput([refused(5.0), Record(5.0, 0, "a", 5.0, 5.1, BROKEN)], STEP) == 0.0


def test_a_slow_dependency_halves_what_can_be_asked() -> None:
    """Three times as long a service: a third of the capacity is all of it."""
    assert isclose(goodput(even(11.0, 15.0, 50.0 / 3), SLOW), 1.0, rel_tol=0.01)


def test_reacting_is_the_time_until_two_seconds_are_as_good_as_the_rest() -> None:
    """Nothing for 2.05 s, then all: a window that misses 50 ms of it is within 5 %."""
    arrivals = [refused(at_s) for at_s in (4.001 + each / 500 for each in range(3500))]
    records = sorted([*arrivals, *even(6.05, 11.0, 50.0)], key=lambda one: one.at_s)

    assert settled_s(records, STEP) == 2.0


def test_a_phase_as_good_as_ever_has_settled_at_once() -> None:
    """And so has one in which nobody is served."""
    assert settled_s(even(0.0, 20.0, 50.0), RECOVERY) == 0.0
    assert settled_s([refused(4.0 + each / 100) for each in range(700)], STEP) == 0.0


def test_recovery_is_held_against_what_was_asked_for() -> None:
    """30 a second at 50 that could be: answering all of them is steady."""
    assert settled_s(even(15.0, 20.0, 30.0), RECOVERY) == 0.0


def test_what_never_stays_has_not_settled() -> None:
    """Two moments of feast: no 2 s are within 5 % of their mean."""
    asked = [refused(4.0 + each / 500) for each in range(3500)]
    feasts = [answered(at_s, 0.0) for at_s in (4.55, 8.55) for _ in range(200)]
    records = sorted([*asked, *feasts], key=lambda one: one.at_s)

    assert settled_s(records, STEP) is None


def test_an_inversion_needs_a_sheddable_that_left_after_the_refusal_was_known() -> None:
    """One under way before it proves nothing; half a second later the gate may have opened."""
    no = refused(5.0, CRITICAL)

    assert inversions([no, answered(5.01)]) == 1
    assert inversions([answered(4.9), no]) == 0
    assert inversions([no, answered(5.502)]) == 0
    assert inversions([no, refused(5.01), answered(5.02, level=CRITICAL)]) == 0
    assert inversions([refused(5.0), answered(5.01)]) == 0


def test_a_request_let_in_and_cut_was_admitted() -> None:
    """A 504 makes an inversion, and its time counts in the tail."""
    late = Record(5.01, 0, "a", 5.01, 6.02, LATE)

    assert inversions([refused(5.0, CRITICAL), late]) == 1
    assert isclose(figures([late]).p99_s or 0.0, 1.01)


def test_jain_is_one_for_equals_and_a_share_for_one_who_takes_all() -> None:
    """1 / n at worst, 0.72 for 6 : 3 : 1, nothing for nothing."""
    assert jain([5, 5, 5]) == 1.0
    assert isclose(jain([9, 0, 0]) or 0.0, 1 / 3)
    assert round(jain([6, 3, 1]) or 0.0, 2) == 0.72
    assert jain([0, 0]) is None


def test_a_percentile_is_a_value_that_was_there() -> None:
    """Exact: the 99th of a hundred is the ninety-ninth."""
    assert percentile([float(each) for each in range(100, 0, -1)], 0.99) == 99.0
    assert percentile([7.0], 0.5) == 7.0
    assert percentile([], 0.99) is None


def test_all_figures_of_a_run() -> None:
    """Refusals and fairness are of the step alone, what is broken of all."""
    records = [
        answered(1.0),
        refused(2.0, CRITICAL),
        answered(5.0, tenant="a"),
        answered(5.1, level=CRITICAL, tenant="b"),
        refused(5.2, CRITICAL, tenant="b"),
        refused(5.3, tenant="b"),
        Record(12.0, 0, "a", None, None, UNSENT),
        Record(12.1, 0, "a", 12.1, None, BROKEN),
    ]
    found = figures(records)

    assert found.refused == {"critical": 1, "sheddable": 1}
    assert found.critical_ratio == 0.5
    assert found.jain == 1.0
    assert isclose(found.jain_of_asked or 0.0, (1 + 1 / 3) ** 2 / (2 * (1 + 1 / 9)))
    assert found.broken == 2
    assert found.inversions == 0
