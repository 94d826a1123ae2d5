"""Figures from arrivals: plain numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.drill import metrics
from chaos.drill.metrics import Arrivals, observe, seconds_to_recover
from chaos.drill.observation import share
from chaos.drill.records import Record, Window, parse_records
from chaos.drill.schema import Hypothesis
from tests.chaos.drill.build import arrivals, drill, record

pytestmark = pytest.mark.unit


def claim(metric: str, **more: object) -> Hypothesis:
    """Make a hypothesis about a metric."""
    return Hypothesis(name="x", metric=metric, bound=">= 0", **more)  # type: ignore[arg-type]


def every(step_s: float, from_s: float, to_s: float, **more: object) -> list[Record]:
    """Arrivals at a steady pace."""
    count = round((to_s - from_s) / step_s)
    return [record(n, from_s + n * step_s, **more) for n in range(count)]  # type: ignore[arg-type]


def test_constants_are_the_documented_ones() -> None:
    """Normal is 0.9 of steady, in windows of 1 s."""
    assert (metrics.NORMAL_SHARE, metrics.RECOVERY_WINDOW_S) == (0.9, 1.0)
    assert (metrics.RECOVERY_STEP_S, metrics.MIN_TIME_SD_S) == (0.1, 0.1)


def test_goodput_counts_answers_in_time_per_second_of_the_phase() -> None:
    """80 answers in time and 80 late ones in 4 s are 20 a second: all of the capacity."""
    good = every(0.05, 3, 7)
    late = every(0.05, 3, 7, latency_s=1.5)

    seen = observe(claim("goodput_of_capacity"), arrivals(good + late))

    assert seen.value == pytest.approx(1.0)
    assert seen.sd is not None
    assert 0 < seen.sd < 0.2
    assert observe(claim("goodput_rps"), arrivals(good)).value == pytest.approx(20.0)


def test_goodput_needs_a_capacity() -> None:
    """Without one there is nothing to hold it against."""
    bare = Arrivals([], {"fault": Window(0, 4)}, 1.0, None)

    assert observe(claim("goodput_of_capacity"), bare).value is None


def test_share_within_counts_from_the_scheduled_time() -> None:
    """Of 4 sent, 2 are answered within 300 ms; of 3 answered, 2."""
    four = [
        record(0, 3.0, 0.1),
        record(1, 3.1, 0.3),
        record(2, 3.2, 0.31),
        record(3, 3.3, 0.01, status=503),
        record(4, 3.4, None, status=0),
    ]

    assert observe(claim("share_within", within_ms=300), arrivals(four)).value == 0.5
    of_answered = claim("share_within", within_ms=300, of="answered")
    assert observe(of_answered, arrivals(four)).value == pytest.approx(2 / 3)


def test_shares_are_of_one_phase_and_one_route() -> None:
    """An arrival belongs to the phase in which it was due."""
    mixed = [
        record(0, 2.9, degraded="comments", route="page"),
        record(1, 3.0, degraded="comments", route="page"),
        record(2, 4.0, route="page"),
        record(3, 5.0, route="home"),
    ]

    assert observe(claim("degraded_share", route="page"), arrivals(mixed)).value == 0.5
    assert observe(claim("in_time_share", phase="steady"), arrivals(mixed)).samples == 1


def test_all_is_the_whole_arm() -> None:
    """What a fault breaks off may have been due before it: no phase alone has all failures."""
    some = [record(0, 0.5), record(1, 2.9, status=502), record(2, 3.1, status=502), record(3, 9.9)]

    assert observe(claim("failed_count"), arrivals(some)).value == 1
    assert observe(claim("failed_count", phase="all"), arrivals(some)).value == 2
    assert observe(claim("failed_share", phase="all"), arrivals(some)).value == 0.5
    assert observe(claim("goodput_rps", phase="all"), arrivals(some)).value == pytest.approx(0.2)
    assert arrivals(some).window("all") == Window(0, 10)


def test_failures_and_rejections_are_counted() -> None:
    """A rejection is a failure of its request too."""
    some = [record(0, 3.0), record(1, 3.1, status=503), record(2, 3.2, status=0)]

    assert observe(claim("failed_count"), arrivals(some)).value == 2
    assert observe(claim("rejected_count"), arrivals(some)).value == 1
    assert observe(claim("failed_share"), arrivals(some)).value == pytest.approx(2 / 3)
    assert observe(claim("rejected_share"), arrivals(some)).value == pytest.approx(1 / 3)


def test_nothing_observed_is_no_number() -> None:
    """A share of no samples is None, not 0 and not 1."""
    assert observe(claim("share_within", within_ms=1), arrivals([])).value is None
    assert share(0, 0).value is None


def test_share_of_all_is_not_certain() -> None:
    """400 of 400 has a deviation of about 0.0018 (Jeffreys)."""
    seen = share(400, 400)

    assert seen.value == 1.0
    assert seen.sd == pytest.approx(0.00176, rel=0.02)


def steady_then(after: list[Record]) -> Arrivals:
    """Make arrivals that are calm for two seconds before these."""
    return arrivals([*every(0.1, 1, 3), *after])


def test_recovery_is_immediate_when_nothing_is_late() -> None:
    """Every window after the fault is normal."""
    assert seconds_to_recover(steady_then(every(0.1, 7, 10))).value == 0.0


def test_recovery_ends_with_the_last_bad_window() -> None:
    """Failures up to 0.5 s after the fault: from 0.4 s on at most one in ten fails."""
    after = every(0.1, 7, 7.5, status=504) + every(0.1, 7.5, 10)

    seen = seconds_to_recover(steady_then(after))

    assert seen.value == pytest.approx(0.4)
    assert seen.sd == pytest.approx(0.1)


def test_recovery_that_never_comes_is_no_number() -> None:
    """All fail until the end."""
    assert seconds_to_recover(steady_then(every(0.1, 7, 10, status=504))).value is None


def test_recovery_needs_a_steady_state() -> None:
    """Without one nobody knows what normal is."""
    assert seconds_to_recover(arrivals(every(0.1, 7, 10))).value is None


@given(st.lists(st.tuples(st.floats(0, 9.99), st.booleans()), max_size=80))
def test_recovery_lies_within_its_phase(due: list[tuple[float, bool]]) -> None:
    """It is None or between 0 and the phase's length."""
    records = [record(n, at_s, status=200 if ok else 503) for n, (at_s, ok) in enumerate(due)]

    value = seconds_to_recover(arrivals(records)).value

    assert value is None or 0 <= value <= drill().phase("recover").seconds


def test_records_are_read_in_any_order_and_half_lines_are_left() -> None:
    """A file that is still being written can be read."""
    head = "n,scheduled_s,sent_s,done_s,route,status,reason,degraded,request_id,criticality,tenant"
    text = f"{head}\n1,0.5,,,list,0,UNSENT,,r-1,,\n0,0.1,0.1,0.2,page,200,,comments,r-0,,\n2,0.7,0."

    zero, one = parse_records(text)

    assert (zero.number, zero.degraded) == (0, "comments")
    assert zero.latency_s == pytest.approx(0.1)
    assert (one.is_sent, one.latency_s, one.kind(1.0)) == (False, None, "unsent")


def test_percentiles_of_a_hundred() -> None:
    """Of 1..100 the 95th is 95; of nothing there is none."""
    ordered = [float(n) for n in range(1, 101)]

    assert metrics.percentile_ms(ordered, 0.95) == 95
    assert metrics.percentile_ms(ordered, 1.0) == 100
    assert metrics.percentile_ms([], 0.5) is None
