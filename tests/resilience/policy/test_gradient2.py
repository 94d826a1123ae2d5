"""Gradient2 limit: its formula in plain numbers, and the two drifts it does not have."""

import pytest

from resilience.policy import gradient2
from resilience.policy.gradient2 import Gradient2Limit, LongMean
from resilience.policy.windowed import WindowedLimit
from tests.golden import transcript
from tests.resilience.policy.saturated import Saturated


class AsPublished:
    """Gradient2Limit.java, its least limit lowered to 1 so that only the formula differs."""

    def __init__(self, value: float = 20.0) -> None:
        self.value = value
        self.count = 0
        self.long_s = 0.0

    def on_sample(self, rtt_s: float, in_flight: int, dropped: bool, now_s: float) -> None:
        self.count += 1
        weight = 1 / self.count if self.count <= 10 else 2 / 601
        self.long_s += (rtt_s - self.long_s) * weight
        if self.long_s / rtt_s > 2:
            self.long_s *= 0.95
        if in_flight < self.value / 2:
            return
        gradient = max(0.5, min(1.0, 1.5 * self.long_s / rtt_s))
        value = self.value * 0.8 + (self.value * gradient + 4) * 0.2
        self.value = max(1.0, min(200.0, value))


def fresh(initial: int = 10, **bounds: int) -> Gradient2Limit:
    """A limit whose usual round trip is 100 ms, learned while hardly used."""
    limit = Gradient2Limit(initial, **bounds)
    for number in range(10):
        limit.on_sample(0.1, 0, False, float(number))
    return limit


def test_defaults_are_those_of_netflix_but_the_least() -> None:
    """20 within ..200, queue 4, a fifth each, tolerance 1.5, window 600; least 1, not 20."""
    assert (gradient2.INITIAL_LIMIT, gradient2.MIN_LIMIT, gradient2.MAX_LIMIT) == (20, 1, 200)
    assert (gradient2.QUEUE_SIZE, gradient2.SMOOTHING, gradient2.RTT_TOLERANCE) == (4, 0.2, 1.5)
    assert (gradient2.LONG_WINDOW, gradient2.WARM_UP, gradient2.MIN_GRADIENT) == (600, 10, 0.5)
    assert (gradient2.FORGET_ABOVE, gradient2.FORGET_RATIO) == (2.0, 0.95)
    limit = Gradient2Limit()
    assert (limit.value, limit.min_limit, limit.max_limit, limit.queue_size) == (20, 1, 200, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"initial": 0}, "must hold"),
        ({"initial": 3, "min_limit": 4}, "must hold"),
        ({"initial": 3, "max_limit": 2}, "must hold"),
        ({"min_limit": 0}, "must hold"),
        ({"queue_size": 0}, "above 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, int], message: str) -> None:
    """Each error says which argument and what is allowed."""
    with pytest.raises(ValueError, match=message):
        Gradient2Limit(**arguments)


def test_arguments_at_their_bounds_are_taken() -> None:
    """A limit that can be nothing but one, and a mean of one sample."""
    assert Gradient2Limit(1, min_limit=1, max_limit=1).value == 1
    assert LongMean(1, 1).add(3.0) == 3.0


@pytest.mark.parametrize(("window", "warm_up"), [(0, 1), (1, 0)])
def test_a_mean_of_nothing_is_refused(window: int, warm_up: int) -> None:
    """It needs a sample to begin with."""
    with pytest.raises(ValueError, match="at least 1"):
        LongMean(window, warm_up)


@pytest.mark.paper
def test_published_vectors_of_the_mean() -> None:
    """ExpAvgMeasurementTest: 10 to 19 warm up to 10.0, 10.5 ... 14.5; then 100 makes 16.2."""
    mean = LongMean(100, 10)

    assert [mean.add(10.0 + number) for number in range(10)] == pytest.approx(
        [10.0, 10.5, 11.0, 11.5, 12.0, 12.5, 13.0, 13.5, 14.0, 14.5]
    )
    assert mean.add(100.0) == pytest.approx(16.2, abs=0.1)
    assert repr(LongMean()) == "<LongMean 0>"


def test_while_nothing_queues_it_grows_by_a_fifth_of_four() -> None:
    """At 1.5 times the usual there is still no queue, a moment above it there is."""
    limit = fresh()
    limit.on_sample(0.14, 10, False, 20.0)
    assert limit.value == pytest.approx(10.8)
    limit = fresh()
    limit.on_sample(0.1516, 10, False, 20.0)

    assert limit.gradient == pytest.approx(0.99, abs=0.005)
    assert limit.value == pytest.approx(10 * (0.8 + 0.2 * limit.gradient))


def test_one_sample_takes_no_more_than_a_tenth() -> None:
    """The gradient is never below one half, of which a fifth counts."""
    limit = fresh()
    limit.on_sample(9.0, 10, False, 20.0)

    assert limit.value == pytest.approx(9.0)
    assert limit.gradient == 0.5


def test_it_stays_while_less_than_half_is_used() -> None:
    """Four of ten in flight say nothing; five do."""
    limit = fresh()
    limit.on_sample(0.1, 4, False, 20.0)
    assert limit.value == 10
    limit.on_sample(0.1, 5, False, 21.0)

    assert limit.value == pytest.approx(10.8)


def test_a_worse_past_is_forgotten_faster() -> None:
    """A usual round trip of more than twice the last one loses a twentieth each time."""
    for rtt_s, expected in ((0.05, 0.1), (0.049, 0.095)):
        limit = fresh()
        limit.on_sample(rtt_s, 0, False, 20.0)
        assert limit.snapshot()["long_rtt_ms"] == pytest.approx(expected * 1000, rel=0.003)


def test_at_a_gradient_of_0_8_the_published_formula_climbs_and_this_one_falls() -> None:
    """#134: of 10 it makes 4 / (1 − 0.8) = 20, in overload; ours goes down to the least."""
    published, ours = AsPublished(10.0), fresh()
    for _ in range(10):
        published.on_sample(0.1, 0, False, 0.0)
    for _ in range(200):
        for limit in (published, ours):
            usual_s = published.long_s if limit is published else ours._long.value
            limit.on_sample(1.5 * usual_s / 0.8, int(limit.value) + 1, False, 20.0)

    assert published.value == pytest.approx(20.0, abs=0.5)
    assert ours.value == 1


def test_under_a_constant_timeout_the_published_limit_grows_and_this_one_falls() -> None:
    """#137, #176: cut after 5 s each time is the usual round trip to one, a drop to the other."""
    published, ours = AsPublished(), Gradient2Limit()
    for number in range(400):
        published.on_sample(5.0, int(published.value), True, float(number))
        ours.on_sample(5.0, int(ours.value), True, float(number))

    assert published.value == 200
    assert ours.value == 1
    assert ours.snapshot()["long_rtt_ms"] == 0.0


def test_overload_ends_where_the_round_trip_is_half_as_long_again() -> None:
    """Twenty workers of 100 ms in windows of 1 s: a minute of overload leaves 30 or a few more."""
    limit = WindowedLimit(Gradient2Limit())
    service = Saturated(limit, workers=20)
    service.run(15.0, most=10)
    service.run(60.0)

    assert 25 <= limit.value <= 45


def test_it_stays_within_its_bounds_and_a_reset_begins_again() -> None:
    """From the most to the least and back to where it began."""
    limit = fresh(10, min_limit=5, max_limit=12)
    for _ in range(50):
        limit.on_sample(0.1, 12, False, 20.0)
    assert limit.value == 12
    for _ in range(50):
        limit.on_sample(9.0, 12, True, 21.0)
    assert limit.value == 5
    limit.reset(22.0)

    assert limit.snapshot() == {"limit": 10, "gradient": 1.0, "long_rtt_ms": 0.0}
    assert repr(limit) == "<Gradient2Limit 10.0, gradient 1.00>"


@pytest.mark.golden
def test_the_story_of_a_slow_dependency() -> None:
    """A second's mean at a time: usual, three times as slow, cut at the deadline, usual again."""
    limit = Gradient2Limit()
    lines = []
    for second in range(24):
        rtt_s = 0.1 if second < 6 or second >= 18 else 0.3 if second < 12 else 1.0
        dropped = rtt_s == 1.0
        limit.on_sample(rtt_s, int(limit.value), dropped, float(second))
        word = "cut at" if dropped else "rtt   "
        lines.append(f"{second:2d} s  {word} {rtt_s * 1000:4.0f} ms -> {dict(limit.snapshot())}")
    transcript.check("gradient2", lines)
