"""Outlier rates: Envoy's defaults and example, and what they eject through ``OutlierEjection``."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.policy import outlier, outlier_rates
from lb.policy.outlier import OutlierEjection, small_fleet
from lb.policy.outlier_rates import OutlierRates, success_rate_limit
from resilience.policy.contract import Outcome
from tests.lb.policy.patience import PATIENT

pytestmark = pytest.mark.unit
FIVE = ("a", "b", "c", "d", "e")


def interval(rates: OutlierRates, requests: int, **failures: int) -> None:
    """Report that many requests of each of five, so many of them failures."""
    rates.set_endpoints(FIVE)
    for name in FIVE:
        for n in range(requests):
            failed = n < failures.get(name, 0)
            rates.on_result(name, Outcome.FAILED if failed else Outcome.OK)


def found(rates: OutlierRates, *skip: str) -> list[tuple[str, str]]:
    """End the interval; return who and why."""
    return [(one.endpoint, one.reason) for one in rates.end_interval(skip)]


def test_defaults_are_envoys() -> None:
    """1.9 deviations, 5 hosts, 100 requests; 85 %, 5 hosts, 50 requests; enforced 100 % and 0 %."""
    assert outlier_rates.DEFAULT_STDEV_FACTOR == 1.9
    assert outlier_rates.DEFAULT_SUCCESS_MIN_ENDPOINTS == 5
    assert outlier_rates.DEFAULT_SUCCESS_MIN_REQUESTS == 100
    assert outlier_rates.DEFAULT_FAILURE_RATIO == 0.85
    assert outlier_rates.DEFAULT_FAILURE_MIN_ENDPOINTS == 5
    assert outlier_rates.DEFAULT_FAILURE_MIN_REQUESTS == 50
    assert outlier_rates.DEFAULT_ENFORCE_SUCCESS_RATE is True
    assert outlier_rates.DEFAULT_ENFORCE_FAILURE_RATIO is False


@pytest.mark.paper
def test_published_example() -> None:
    """outlier_detection_impl.cc: 50 and four times 100: mean 90, deviation 20, threshold 52."""
    assert success_rate_limit([0.5, 1.0, 1.0, 1.0, 1.0]) == pytest.approx(0.52)


def test_the_one_that_fails_half_is_found_though_it_never_fails_five_in_a_row() -> None:
    """50 % is below 52 %, and the limit is told with it."""
    rates = OutlierRates()
    interval(rates, 100, a=50)
    (outlier,) = rates.end_interval()
    assert outlier[:3] == ("a", "SUCCESS_RATE", 0.5)
    assert outlier.limit == pytest.approx(0.52)
    assert outlier.is_enforced


def test_failing_alike_is_nobodys_outlier() -> None:
    """When all fail half of the time the trouble lies behind them."""
    rates = OutlierRates()
    interval(rates, 100, a=50, b=50, c=50, d=50, e=50)
    assert found(rates) == []


@pytest.mark.parametrize(("requests", "names"), [(99, []), (100, ["a"])])
def test_too_few_requests_say_nothing(requests: int, names: list[str]) -> None:
    """Envoy: below 100 requests in an interval an endpoint isn't compared."""
    rates = OutlierRates()
    interval(rates, requests, a=requests // 2)
    assert [name for name, _ in found(rates)] == names


def test_too_few_endpoints_say_nothing_and_those_out_are_skipped() -> None:
    """Four of five, since one is ejected already, are not compared."""
    rates = OutlierRates()
    interval(rates, 100, a=50)
    assert found(rates, "e") == []


def test_failing_too_often_is_found_by_its_own_and_only_counted_by_default() -> None:
    """85 of 100 are too many, though all do it; it is detected, and not enforced."""
    rates = OutlierRates()
    interval(rates, 100, a=85, b=85, c=85, d=85, e=84)
    outliers = rates.end_interval()
    assert [outlier.endpoint for outlier in outliers] == ["a", "b", "c", "d"]
    assert {outlier.reason for outlier in outliers} == {"FAILURE_PERCENTAGE"}
    assert not any(outlier.is_enforced for outlier in outliers)


def test_an_interval_begins_with_nothing() -> None:
    """What the last interval counted isn't counted again."""
    rates = OutlierRates()
    interval(rates, 100, a=50)
    assert found(rates) == [("a", "SUCCESS_RATE")]
    assert found(rates) == []


def test_overloaded_and_ignored_are_not_counted() -> None:
    """An endpoint that says it is overloaded is not one that fails."""
    rates = OutlierRates()
    interval(rates, 100)
    for _ in range(1000):
        rates.on_result("a", Outcome.OVERLOADED)
        rates.on_result("a", Outcome.IGNORED)
        rates.on_result("z", Outcome.FAILED)
    assert found(rates) == []


@pytest.mark.parametrize("bad", [{"stdev_factor": 0.0}, {"failure_ratio": 0.0}])
def test_numbers_out_of_range_are_refused(bad: dict[str, float]) -> None:
    """The message says both."""
    with pytest.raises(ValueError, match="must be above 0"):
        OutlierRates(**bad)  # type: ignore[arg-type]


def ejection(rates: OutlierRates | None = None) -> OutlierEjection:
    """Make one over five; failures in a row never eject, so that only rates do."""
    one = OutlierEjection(consecutive_failures=10_000, rates=rates)
    one.set_endpoints(FIVE)
    return one


def traffic(one: OutlierEjection, now_s: float, *failing: str) -> list[bool]:
    """Report 100 requests of each at one moment, every second of the failing ones failed."""
    return [
        one.on_result(name, Outcome.FAILED if name in failing and n % 2 else Outcome.OK, now_s)
        for n in range(100)
        for name in FIVE
    ]


def test_ejected_at_the_first_result_after_the_interval() -> None:
    """Ten seconds after the first result the rates are looked at, and a refresh is asked for."""
    one = ejection(OutlierRates())
    assert not any(traffic(one, 0.0, "a"))
    assert not one.on_result("b", Outcome.OK, 9.9)
    assert one.on_result("b", Outcome.OK, 10.0)
    assert one.is_ejected("a", 39.9)
    assert not one.is_ejected("a", 40.0)
    assert (one.snapshot()["ejections"], one.snapshot()["outliers"]) == (1, 1)


def test_without_rates_nothing_changes() -> None:
    """The lab's ejection, which hands in none, ejects nobody who fails every second request."""
    one = ejection()
    traffic(one, 0.0, "a")
    assert not any(traffic(one, 10.0, "a"))
    assert "outliers" not in one.snapshot()


def test_not_enforced_is_counted_and_moves_nobody() -> None:
    """In the way of a shadow: the snapshot says who would have been ejected."""
    one = ejection(OutlierRates(enforce_success_rate=False))
    traffic(one, 0.0, "a")
    assert not any(traffic(one, 10.0))
    assert not one.is_ejected("a", 10.0)
    assert one.snapshot()["outliers"] == 1


def test_enforced_failure_percentage_ejects_the_worst_within_the_bound() -> None:
    """All five fail too often: one may go, and it is the worst."""
    one = ejection(OutlierRates(enforce_failure_ratio=True))
    for name, failures in zip(FIVE, (90, 91, 99, 92, 93), strict=True):
        for n in range(100):
            one.on_result(name, Outcome.FAILED if n < failures else Outcome.OK, 0.0)
    assert one.on_result("a", Outcome.OK, 10.0)
    assert [name for name in FIVE if one.is_ejected(name, 10.0)] == ["c"]


def test_reset_forgets_the_interval() -> None:
    """After a reset the counts and the clock of the interval begin anew."""
    one = ejection(OutlierRates())
    traffic(one, 0.0, "a")
    one.reset()
    assert not any(traffic(one, 12.0))
    assert not one.on_result("b", Outcome.OK, 21.9)


@pytest.mark.property
@PATIENT
@given(
    st.lists(
        st.tuples(st.sampled_from(FIVE), st.sampled_from(list(Outcome)), st.floats(0, 6)),
        max_size=200,
    ),
    st.sampled_from([0.1, 0.4, 0.6, 1.0]),
)
def test_never_more_out_than_allowed(
    results: list[tuple[str, Outcome, float]], ratio: float
) -> None:
    """Whatever both looks and the counts in a row find, the share out stays within its bound."""
    rates = OutlierRates(
        stdev_factor=0.1,
        success_min_requests=1,
        failure_min_requests=1,
        success_min_endpoints=1,
        failure_min_endpoints=1,
        enforce_failure_ratio=True,
    )
    one = OutlierEjection(consecutive_failures=2, max_ejected_ratio=ratio, rates=rates)
    one.set_endpoints(FIVE)
    now_s = 0.0
    for name, outcome, step_s in results:
        now_s += step_s
        one.on_result(name, outcome, now_s)
        assert sum(one.is_ejected(n, now_s) for n in FIVE) <= max(1, int(ratio * 5))


def test_a_single_failure_is_an_outlier_where_the_others_have_none() -> None:
    """One that differs alone is sqrt(endpoints - 1) deviations away: 2 of five, which is over 1.9.

    A factor of 2 or more never ejects one of five alone.
    """
    rates = OutlierRates()
    interval(rates, 1000, a=1)
    assert found(rates) == [("a", "SUCCESS_RATE")]
    wider = OutlierRates(stdev_factor=2.1)
    interval(wider, 1000, a=999)
    assert found(wider) == [("a", "FAILURE_PERCENTAGE")]


def half_failing(seconds: float, share: float = 0.5, *, who: str = "c") -> OutlierEjection:
    """Send 30 requests a second in turn to three, of which some fail every so many."""
    one = small_fleet()
    one.set_endpoints(("a", "b", "c"))
    for n in range(int(30 * seconds)):
        name = "abc"[n % 3]
        fails = name in who and (n // 3) % round(1 / share) == 0
        one.on_result(name, Outcome.FAILED if fails else Outcome.OK, n / 30)
    return one


def test_a_small_fleet_leaves_who_fails_half_within_five_seconds() -> None:
    """Ten requests a second are enough, though it never fails twice in a row."""
    one = half_failing(5.0)
    assert one.is_ejected("c", 5.0)
    assert one.reason("c") == "FAILURE_PERCENTAGE"
    assert one.reason("a") == one.reason("nobody") == ""


def test_a_small_fleet_keeps_who_fails_seldom() -> None:
    """A quarter is below three tenths."""
    assert half_failing(30.0, 0.25).snapshot()["ejections"] == 0


def test_what_most_do_is_what_they_share() -> None:
    """Two of three fail half of their requests: to leave one of them would help nobody."""
    told = half_failing(30.0, who="bc").snapshot()
    assert told["ejections"] == 0
    assert told["outliers"] != 0


def test_defaults_of_a_small_fleet() -> None:
    """2 s, 30 %, two endpoints, ten requests, at most half of them."""
    assert outlier.SMALL_FLEET_INTERVAL_S == 2.0
    assert outlier.SMALL_FLEET_FAILURE_RATIO == 0.3
    assert outlier.SMALL_FLEET_MIN_ENDPOINTS == 2
    assert outlier.SMALL_FLEET_MIN_REQUESTS == 10
    assert outlier.SMALL_FLEET_FAILING_SHARE == 0.5
    assert outlier_rates.DEFAULT_FAILING_SHARE == 1.0


def test_a_failing_share_has_a_range() -> None:
    """Above 0, at most 1."""
    with pytest.raises(ValueError, match="failing_share must be above 0 and at most 1: 0"):
        OutlierRates(failing_share=0.0)
