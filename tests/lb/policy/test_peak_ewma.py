"""Peak EWMA: who answers sooner and more often, what is overdue, and the forced re-probe."""

import random
from collections import Counter
from math import exp, inf, sqrt

import pytest

from lb.policy import peak_ewma
from lb.policy.peak_ewma import PeakEwma
from resilience.policy.contract import Outcome, Request

pytestmark = pytest.mark.unit
REQUEST = Request()


def picker(*names: str, force_pick_s: float = inf) -> PeakEwma:
    """Make one that never forces, unless told to."""
    one = PeakEwma(random.Random(1), force_pick_s=force_pick_s)
    one.set_endpoints(names)
    return one


def call(
    one: PeakEwma, name: str, now_s: float, lag_s: float, outcome: Outcome = Outcome.OK
) -> float:
    """Send one request there; return when it ended."""
    one.on_start(name, now_s)
    one.on_finish(name, outcome, now_s + lag_s)
    return now_s + lag_s


def picks(one: PeakEwma, now_s: float, count: int = 200) -> Counter[str | None]:
    """Count picks at one moment, none of them sent."""
    return Counter(one.pick(REQUEST, (), now_s) for _ in range(count))


def test_defaults_are_those_of_kratos() -> None:
    """600 ms, 3 s, 5 ms, a penalty of 10 s, a look each fifth within 5 and 200 ms."""
    assert peak_ewma.DEFAULT_TAU_S == 0.6
    assert peak_ewma.DEFAULT_FORCE_PICK_S == 3.0
    assert peak_ewma.LAG_OFFSET_S == 0.005
    assert peak_ewma.UNKNOWN_LAG_S == 10.0
    assert peak_ewma.PREDICT_SHARE == 0.2
    assert (peak_ewma.PREDICT_MIN_S, peak_ewma.PREDICT_MAX_S) == (0.005, 0.2)


def test_score_is_the_published_formula() -> None:
    """Root of the round trip and 5 ms, times one more than in flight; success over that."""
    one = picker("a", "b")
    assert one.score("a", 0.0) == pytest.approx(1 / sqrt(10.0))
    now_s = call(one, "a", 0.0, 0.095)
    assert one.score("a", now_s) == pytest.approx(1 / sqrt(0.1))
    one.on_start("a", now_s)
    assert one.score("a", now_s) == pytest.approx(1 / sqrt(0.1) / 2)


def test_mean_forgets_by_time_not_by_count() -> None:
    """After 600 ms an old round trip weighs 1/e, however few came between."""
    one = picker("a", "b")
    call(one, "a", 0.0, 0.1)
    call(one, "a", 0.4, 0.3)  # ends 0.6 s after the first
    assert one.snapshot()["a.lag_s"] == pytest.approx(0.1 * exp(-1) + 0.3 * (1 - exp(-1)))


def test_the_faster_of_two_is_picked() -> None:
    """10 ms beat 100 ms every time when both are idle."""
    one = picker("a", "b")
    call(one, "a", 0.0, 0.010)
    call(one, "b", 0.0, 0.100)
    assert picks(one, 0.2) == {"a": 200}


def test_failing_fast_is_not_attractive() -> None:
    """An endpoint that fails in 1 ms loses against one that succeeds in 50 ms."""
    one = picker("a", "b")
    for n in range(20):
        call(one, "a", n * 0.1, 0.001, Outcome.FAILED)
        call(one, "b", n * 0.1, 0.050)
    assert picks(one, 2.1) == {"b": 200}
    assert float(one.snapshot()["a.success"] or 0.0) < 0.1


def test_overdue_requests_count_before_they_are_answered() -> None:
    """Two requests far beyond the mean make a frozen endpoint lose at once; Kratos needs three."""
    one = picker("a", "b")
    for name in "ab":
        call(one, name, 0.0, 0.050 if name == "b" else 0.010)
    before = one.score("a", 0.1)
    one.on_start("a", 0.1)
    one.on_start("a", 0.1)
    assert one.score("a", 0.106) == pytest.approx(before / 3)  # busy, and not late yet
    assert one.score("a", 1.1) == pytest.approx(1 / sqrt(1.005) / 3)
    assert picks(one, 1.1) == {"b": 200}


def test_unknown_endpoint_gets_one_probe_at_once_and_no_more_until_it_answers() -> None:
    """Its first request is forced; the next only when that one has told something."""
    one = picker("a", "b", force_pick_s=3.0)
    call(one, "a", 0.0, 0.010)
    assert one.pick(REQUEST, (), 0.1) == "b"
    one.on_start("b", 0.1)
    assert picks(one, 0.2) == {"a": 200}
    one.on_finish("b", Outcome.OK, 0.202, started_s=0.1)
    call(one, "a", 0.3, 1.0)
    assert picks(one, 1.4) == {"b": 200}


def test_a_loser_is_probed_again_after_three_seconds() -> None:
    """Picked last at 0.5 s, it gets one request after 3.5 s, and is believed if it is well."""
    one = picker("a", "b", force_pick_s=3.0)
    call(one, "b", 0.5, 2.0)
    call(one, "a", 2.9, 0.500)
    assert picks(one, 3.5) == {"a": 200}
    assert one.pick(REQUEST, (), 3.51) == "b"
    call(one, "b", 3.51, 0.001)
    assert picks(one, 3.6) == {"b": 200}
    assert one.snapshot()["forced"] == 1


def test_ignored_teaches_only_that_it_took_at_least_this_long() -> None:
    """Cut early it teaches nothing; cut late it raises the round trip and no failure is counted."""
    one = picker("a", "b")
    now_s = call(one, "a", 0.0, 0.100)
    now_s = call(one, "a", now_s, 0.010, Outcome.IGNORED)
    assert one.snapshot()["a.lag_s"] == pytest.approx(0.1)
    call(one, "a", now_s, 1.0, Outcome.IGNORED)
    facts = one.snapshot()
    assert float(facts["a.lag_s"] or 0.0) > 0.5
    assert facts["a.success"] == 1.0


def test_round_trips_told_apart_when_the_caller_knows_them() -> None:
    """With ``started_s`` the second to start may be the first to end."""
    one = picker("a", "b")
    one.on_start("a", 0.0)
    one.on_start("a", 1.0)
    one.on_finish("a", Outcome.OK, 1.1, started_s=1.0)
    assert one.snapshot()["a.lag_s"] == pytest.approx(0.1)


def test_without_knowing_the_sum_of_round_trips_is_kept() -> None:
    """Taking the oldest for the one that ended mixes two up and keeps their sum."""
    one = PeakEwma(random.Random(1), tau_s=1e9)  # remembers the first, and shows what came after
    one.set_endpoints(["a"])
    one.on_start("a", 0.0)
    one.on_start("a", 1.0)
    one.on_finish("a", Outcome.OK, 1.1)  # counted as 1.1, was 0.1
    assert one.snapshot()["a.lag_s"] == pytest.approx(1.1)
    one.on_finish("a", Outcome.OK, 3.0)  # counted as 2.0, was 3.0: together 3.1 as they were
    assert one.active("a") == 0


def test_what_left_is_forgotten_with_its_last_request() -> None:
    """A request of an endpoint that left ends without an error; its return begins unknown."""
    one = picker("a", "b")
    one.on_start("a", 0.0)
    one.set_endpoints(["b"])
    one.on_finish("a", Outcome.OK, 1.0)
    one.set_endpoints(["a", "b"])
    assert one.snapshot()["a.lag_s"] is None


def test_bad_time_constant_is_refused() -> None:
    """A time constant of 0 would divide by it."""
    with pytest.raises(ValueError, match="tau_s must be above 0, not 0"):
        PeakEwma(random.Random(1), tau_s=0)
