"""Hedge delay: a percentile that its own hedges don't pull down."""

import random

import pytest

from resilience.policy import hedge
from resilience.policy.hedge import HedgeDelay, HedgeSettings
from tests.golden import transcript


def fed(delay: HedgeDelay, *latencies_s: float, now_s: float = 0.0) -> HedgeDelay:
    """Let a delay hear of answers."""
    for latency_s in latencies_s:
        delay.observe(latency_s, now_s)
    return delay


def test_defaults() -> None:
    """The 95th percentile of a minute, at least 1 ms, of at least 100 answers."""
    assert (hedge.HEDGE_PERCENTILE, hedge.HEDGE_MIN_SAMPLES) == (0.95, 100)
    assert (hedge.HEDGE_MIN_DELAY_S, hedge.UPPER_EDGE) == (0.001, 1.05)
    assert HedgeSettings() == HedgeSettings(None, 0.95, 0.001, 100, 60.0)


def test_nothing_is_hedged_before_enough_is_known() -> None:
    """With 99 answers there is no delay, with 100 there is one."""
    delay = fed(HedgeDelay(), *[0.1] * 99)
    assert delay.delay_s(0.0) is None
    fed(delay, 0.1)

    delay_s = delay.delay_s(0.0)
    assert delay_s is not None
    assert 0.1 <= delay_s <= 0.1 * 1.11
    assert delay.delay_s(61.0) is None


def test_no_more_is_hedged_than_asked_for() -> None:
    """Of a thousand answers spread evenly at most half: the upper edge of the bucket counts."""
    latencies_s = [0.01 + number / 10_000 for number in range(1000)]
    delay_s = fed(HedgeDelay(HedgeSettings(percentile=0.5)), *latencies_s).delay_s(0.0)

    assert delay_s is not None
    assert 400 < sum(latency_s > delay_s for latency_s in latencies_s) <= 500


def test_a_fixed_delay_needs_no_answers() -> None:
    """A6's hedgingDelay; 0 sends two at once."""
    assert HedgeDelay(HedgeSettings(delay_s=0.5)).delay_s(0.0) == 0.5
    assert HedgeDelay(HedgeSettings(delay_s=0.0)).delay_s(0.0) == 0.0


def test_a_measured_delay_is_never_below_the_least() -> None:
    """Answers of 200 µs are not raced by a timer."""
    assert fed(HedgeDelay(), *[0.0002] * 100).delay_s(0.0) == 0.001


def test_a_call_cut_short_counts_only_once_it_is_slow() -> None:
    """Above the percentile its rank is known, below it nothing is; nor of the very first."""
    delay = HedgeDelay()
    delay.observe_cut(9.0, 0.0)
    assert delay.snapshot()["samples"] == 0
    fed(delay, *[0.1] * 100)
    delay.observe_cut(0.05, 0.0)
    assert delay.snapshot()["samples"] == 100
    delay.observe_cut(0.2, 0.0)

    assert delay.snapshot()["samples"] == 101


def run_calls(delay: HedgeDelay, *, blind: bool, calls: int) -> float:
    """Hedge calls of which a tenth is slow; return the delay at the end.

    Args:
        delay: Decides, and hears what the winner took.
        blind: Whether it is kept from hearing of the losers.
        calls: How many.
    """
    rng = random.Random(5)

    def latency_s() -> float:
        return rng.uniform(0.1, 0.3) if rng.random() < 0.1 else rng.uniform(0.01, 0.02)

    for number in range(calls):
        now_s = number / 100
        hedge_s, first_s = delay.delay_s(now_s), latency_s()
        if hedge_s is None or first_s <= hedge_s:
            delay.observe(first_s, now_s)
            continue
        second_s = latency_s()
        if hedge_s + second_s < first_s:
            delay.observe(second_s, now_s)
            if not blind:
                delay.observe_cut(hedge_s + second_s, now_s)
        else:
            delay.observe(first_s, now_s)
            if not blind:
                delay.observe_cut(first_s - hedge_s, now_s)
    end_s = delay.delay_s(calls / 100)
    assert end_s is not None
    return end_s


def test_hedges_do_not_pull_down_their_own_delay() -> None:
    """The trap: deaf to losers it sinks from 200 ms to a fast answer's time, and hedges a lot."""
    hearing = run_calls(HedgeDelay(), blind=False, calls=20_000)
    deaf = run_calls(HedgeDelay(), blind=True, calls=20_000)

    assert 0.1 < hearing < 0.25
    assert deaf < 0.03


def test_reset_forgets_latencies_and_counters() -> None:
    """What a drill begins with."""
    delay = fed(HedgeDelay(), *[0.1] * 100)
    delay.sent, delay.won, delay.would_send = 3, 2, 1
    assert repr(delay) == "<HedgeDelay 3 sent, 2 won, <Percentile 0.95 of 100>>"
    delay.reset(0.0)

    figures = delay.snapshot()
    assert [figures[key] for key in ("samples", "sent", "won", "would_send")] == [0, 0, 0, 0]
    assert delay.delay_s(0.0) is None


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("delay_s", -0.1, 0.0),
        ("percentile", 0.0, 0.01),
        ("percentile", 1.0, 0.99),
        ("min_delay_s", -0.1, 0.0),
        ("min_samples", 0, 1),
        ("window_s", 0.0, 0.1),
    ],
)
def test_impossible_settings_are_refused(name: str, bad: float, good: float) -> None:
    """The message names the value; the bound itself is allowed."""
    with pytest.raises(ValueError, match=f"{name}={bad}"):
        HedgeSettings(**{name: bad})  # type: ignore[arg-type]

    assert getattr(HedgeSettings(**{name: good}), name) == good  # type: ignore[arg-type]


@pytest.mark.golden
def test_a_delay_tells_its_story() -> None:
    """Too few answers, enough, a slow minute, and a quiet one."""
    delay = HedgeDelay()
    lines = ["Hedge after the 95th percentile of a minute, of at least 100 answers", ""]

    def tell(now_s: float, what: str) -> None:
        delay_s = delay.delay_s(now_s)
        text = "don't" if delay_s is None else f"after {delay_s * 1000:5.1f} ms"
        lines.append(f"{now_s:4.0f} s  {what:44}  hedge: {text}")

    fed(delay, *[0.02] * 99, now_s=1.0)
    tell(1, "99 answers of 20 ms")
    fed(delay, *[0.02] * 101, now_s=2.0)
    tell(2, "200 answers of 20 ms")
    fed(delay, *[0.2] * 10, now_s=3.0)
    tell(3, "10 answers of 200 ms: still below 5 %")
    for _ in range(2):
        delay.observe_cut(0.1, 3.0)
    tell(3, "2 calls cut short at 100 ms: above 5 %")
    for _ in range(50):
        delay.observe_cut(0.015, 3.0)
    tell(3, "50 callers leave after 15 ms: say nothing")
    tell(59, "nobody calls")
    tell(60, "and a minute is forgotten")
    transcript.check("hedge_delay", lines)
