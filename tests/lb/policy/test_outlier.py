"""Outlier ejection: five failures in a row, 30 s times ejected, at most a tenth but one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.policy import outlier
from lb.policy.outlier import OutlierEjection
from resilience.policy.contract import Outcome
from tests.lb.policy.patience import PATIENT

pytestmark = pytest.mark.unit

FAILED, OK = Outcome.FAILED, Outcome.OK


def ejection(*names: str) -> OutlierEjection:
    """Make one that knows these names."""
    made = OutlierEjection()
    made.set_endpoints(names)
    return made


def fail(one: OutlierEjection, name: str, now_s: float, times: int = 5) -> bool:
    """Report that many failures; True when the last one ejected."""
    return [one.on_result(name, FAILED, now_s) for _ in range(times)][-1]


def test_defaults_are_envoys() -> None:
    """5 failures, 30 s, at most 300 s, 10 %, 10 s."""
    assert (
        outlier.DEFAULT_CONSECUTIVE_FAILURES,
        outlier.DEFAULT_EJECTION_S,
        outlier.DEFAULT_MAX_EJECTION_S,
        outlier.DEFAULT_MAX_EJECTED_RATIO,
        outlier.DEFAULT_INTERVAL_S,
    ) == (5, 30.0, 300.0, 0.1, 10.0)


def test_fifth_failure_in_a_row_ejects_for_thirty_seconds() -> None:
    """A success between them starts the count again."""
    one = ejection("a", "b")
    fail(one, "a", 0.0, 4)
    one.on_result("a", OK, 0.0)
    assert not fail(one, "a", 0.0, 4)
    assert fail(one, "a", 100.0, 1)
    assert one.is_ejected("a", 129.9)
    assert not one.is_ejected("a", 130.0)


def test_overloaded_and_ignored_count_neither_way() -> None:
    """They neither eject nor wipe the count."""
    one = ejection("a", "b")
    fail(one, "a", 0.0, 4)
    for outcome in (Outcome.OVERLOADED, Outcome.IGNORED):
        assert not one.on_result("a", outcome, 0.0)
    assert fail(one, "a", 0.0, 1)


def test_repeated_ejections_grow_and_quiet_time_forgives() -> None:
    """The second lasts 60 s when it follows at once, 30 s again after 10 s of quiet each."""
    one = ejection("a", "b")
    fail(one, "a", 0.0)
    fail(one, "a", 30.0)
    assert one.is_ejected("a", 89.9)
    assert not one.is_ejected("a", 90.0)
    fail(one, "a", 110.0)  # quiet for 20 s: both are forgiven
    assert not one.is_ejected("a", 140.0)


def test_ejection_is_never_longer_than_the_maximum() -> None:
    """After twenty in a row the length is 300 s."""
    one = ejection("a", "b")
    now_s = 0.0
    for _ in range(20):
        fail(one, "a", now_s)
        now_s = next(t for t in range(int(now_s), int(now_s) + 400) if not one.is_ejected("a", t))
    fail(one, "a", now_s)
    assert one.is_ejected("a", now_s + 299)
    assert not one.is_ejected("a", now_s + 300)


def test_one_of_two_may_go_and_not_the_other() -> None:
    """A tenth of two is none, but at least one; the second keeps serving."""
    one = ejection("a", "b")
    assert fail(one, "a", 0.0)
    assert not fail(one, "b", 0.0, 50)
    assert fail(one, "b", 30.0, 1)  # the first is back


def test_two_of_twenty_may_go() -> None:
    """A tenth of twenty is two."""
    one = ejection(*map(str, range(20)))
    assert [fail(one, str(n), 0.0) for n in range(3)] == [True, True, False]


def test_reset_and_leaving_forget() -> None:
    """Neither failures nor ejections outlive a reset or a leave."""
    one = ejection("a", "b")
    fail(one, "a", 0.0)
    one.reset()
    assert not one.is_ejected("a", 1.0)
    fail(one, "a", 1.0)
    one.set_endpoints(["b"])
    one.set_endpoints(["a", "b"])
    assert not one.is_ejected("a", 2.0)
    assert not one.on_result("z", FAILED, 2.0)
    assert one.snapshot() == {"ejections": 2, "a": 0, "b": 0}


@pytest.mark.property
@PATIENT
@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(list(Outcome)), st.floats(0, 5))),
    st.integers(1, 3),
)
def test_never_more_out_than_allowed(
    results: list[tuple[str, Outcome, float]], consecutive: int
) -> None:
    """Of five endpoints at most one is out at any time, whatever happens."""
    one = OutlierEjection(consecutive_failures=consecutive)
    one.set_endpoints("abcde")
    now_s = 0.0
    for name, outcome, step_s in results:
        now_s += step_s
        one.on_result(name, outcome, now_s)
        assert sum(one.is_ejected(n, now_s) for n in "abcde") <= 1
