"""Vegas limit: the published vectors, each branch at its edge, and the drift it does not have."""

import random
from math import ceil, inf

import pytest

from resilience.policy import vegas
from resilience.policy.vegas import VegasLimit
from tests.golden import transcript
from tests.resilience.policy.saturated import Saturated


class AsPublished:
    """VegasLimit.java's probe, jitter left out: the round trip of the moment is the shortest."""

    def __init__(self) -> None:
        self.value = 20.0
        self.shortest_s = inf
        self.samples = 0

    def on_sample(self, rtt_s: float, in_flight: int, dropped: bool, now_s: float) -> None:
        self.samples += 1
        if self.samples >= 22 * self.value:
            self.samples = 0
            self.shortest_s = rtt_s
        elif rtt_s < self.shortest_s:
            self.shortest_s = rtt_s
        elif in_flight * 2 >= self.value:
            queue = ceil(self.value * (1 - self.shortest_s / rtt_s))
            log = max(1, len(str(int(self.value))) - 1)
            step = 6 if queue <= log else 1 if queue < 3 * log else -1 if queue > 6 * log else 0
            self.value = min(1000.0, self.value + step * log)

    def reset(self, now_s: float) -> None: ...

    def snapshot(self) -> dict[str, float]:
        return {}


def fresh(initial: int = 10, **bounds: int) -> VegasLimit:
    """A limit that has seen a shortest round trip of 10 ms."""
    limit = VegasLimit(random.Random(1), initial, **bounds)
    limit.on_sample(0.010, initial, False, 1.0)
    return limit


def test_defaults_are_those_of_netflix() -> None:
    """20 within 1..1000, alpha 3 and beta 6 times log10, a probe after 15 to 30 samples a unit."""
    assert (vegas.INITIAL_LIMIT, vegas.MAX_LIMIT, vegas.ALPHA, vegas.BETA) == (20, 1000, 3, 6)
    assert (vegas.PROBE_MULTIPLIER, vegas.PROBE_JITTER) == (30, 0.5)
    assert (vegas.PROBE_SAMPLES, vegas.PROBE_MAX_S, vegas.PROBE_TIME_SHARE) == (5, 3.0, 0.05)
    limit = VegasLimit(random.Random(1))
    assert (limit.value, limit.max_limit) == (20, 1000)


@pytest.mark.parametrize(("initial", "max_limit"), [(0, 10), (11, 10)])
def test_an_initial_limit_out_of_range_is_refused(initial: int, max_limit: int) -> None:
    """It must lie within 1 and the most."""
    with pytest.raises(ValueError, match="must hold"):
        VegasLimit(random.Random(1), initial, max_limit=max_limit)
    assert VegasLimit(random.Random(1), 1, max_limit=1).value == 1


@pytest.mark.paper
def test_published_vectors() -> None:
    """VegasLimitTest: from 10 at 10 ms, another 10 ms makes 16, 50 ms makes 9, 14 ms stays."""
    for rtt_s, in_flight, expected in ((0.010, 11, 16), (0.050, 11, 9), (0.014, 14, 10)):
        limit = fresh()
        assert limit.value == 10
        limit.on_sample(rtt_s, in_flight, False, 2.0)
        assert limit.value == expected


def test_at_a_hundred_the_steps_are_two() -> None:
    """The log10 is 2: a queue of 2 grows by 12, one of 20 shrinks by 2."""
    for rtt_s, after in ((0.0101, 112), (0.0125, 98)):
        limit = fresh(100)
        limit.on_sample(rtt_s, 100, False, 2.0)
        assert limit.value == after


def test_each_branch_at_its_edge() -> None:
    """At 64 the log is 1, so queues of 1, 2, 3, 6 and 7 are the edges."""
    for queue, after in ((1, 70), (2, 65), (3, 64), (6, 64), (7, 63)):
        limit = fresh(64)
        limit.shortest_s = 1.0 - queue / 64  # exact in binary
        limit.on_sample(1.0, 64, False, 2.0)
        assert (queue, limit.value) == (queue, after)


def test_it_stays_while_less_than_half_is_used() -> None:
    """Nine of twenty in flight say nothing; ten do."""
    limit = fresh(20)
    limit.on_sample(0.010, 9, False, 2.0)
    assert limit.value == 20
    limit.on_sample(0.010, 10, False, 3.0)

    assert limit.value == 26


def test_a_drop_shrinks_it_whatever_its_round_trip_and_is_no_shortest() -> None:
    """Cut at once or after long: one less, down to one, up to the most."""
    limit = fresh(3, max_limit=4)
    limit.on_sample(0.001, 1, True, 2.0)
    assert (limit.value, limit.shortest_s) == (2, 0.010)
    for _ in range(5):
        limit.on_sample(9.0, 1, True, 3.0)
    assert limit.value == 1
    limit.on_sample(0.010, 1, False, 4.0)
    assert limit.value == 4


def test_a_round_trip_of_nought_is_no_queue() -> None:
    """A clock too coarse to see it divides nothing by zero."""
    limit = VegasLimit(random.Random(1), 10)
    limit.on_sample(0.0, 10, False, 1.0)
    limit.on_sample(0.0, 10, False, 1.0)

    assert (limit.value, limit.snapshot()["min_rtt_ms"]) == (16, 0.0)


def test_the_published_probe_climbs_under_load_and_this_one_does_not() -> None:
    """Twenty workers of 100 ms, ten minutes of overload (#165): ten times as many; ours three."""
    published = AsPublished()
    Saturated(published, workers=20).run(600.0)
    ours = VegasLimit(random.Random(1))
    rtt_s = Saturated(ours, workers=20).run(600.0)

    assert published.value > 200
    assert published.shortest_s > 0.4
    assert 20 <= ours.value <= 60
    assert ours.shortest_s < 0.15
    assert rtt_s < 0.35


def test_probes_hold_half_and_cost_little() -> None:
    """Ten minutes of overload: the probes give up less than a twentieth of the workers' time."""
    service = Saturated(VegasLimit(random.Random(1)), workers=20)
    service.run(600.0)

    assert service.passed > 0.95 * 200 * 600


def test_a_slower_service_is_learned_by_the_next_probe() -> None:
    """Three times the service time: the shortest follows, and so does the limit."""
    limit = VegasLimit(random.Random(1))
    service = Saturated(limit, workers=20)
    service.run(60.0)
    service.service_s = 0.3
    service.run(120.0)

    assert 0.3 <= limit.shortest_s < 0.45
    assert 20 <= limit.value <= 60


def test_it_steps_once_a_round_trip() -> None:
    """Admitted before the last step at 2.0 s says nothing of it; admitted at 2.0 s does."""
    limit = fresh(10)
    limit.on_sample(0.010, 10, False, 2.0)
    limit.on_sample(0.010, 16, False, 2.009)
    assert limit.value == 16
    limit.shortest_s = 0.25
    limit.on_sample(0.25, 16, False, 2.25)

    assert limit.value == 22


def test_the_published_steps_overshoot_within_one_round_trip() -> None:
    """Twenty workers become three times slower: over 150 in flight; ours stays below 70."""
    peaks = []
    for limit in (AsPublished(), VegasLimit(random.Random(1))):
        service = Saturated(limit, workers=20)
        service.run(60.0)
        service.service_s = 0.3
        peak = 0.0
        for _ in range(600):
            service.run(0.1)
            peak = max(peak, limit.value)
        peaks.append(peak)

    assert peaks[0] > 150
    assert peaks[1] < 70


def test_a_probe_waits_twenty_times_as_long_as_the_last_one_took() -> None:
    """One of half a second at 100 s: none before 110 s, though the samples are long enough."""
    limit = fresh(4)
    now_s = 100.0
    while not limit.snapshot()["probing"]:
        limit.on_sample(0.015, 4, False, now_s)
    limit.on_sample(0.015, 2, False, 100.1)
    for now_s in (100.2, 100.3, 100.4, 100.45, 100.5):
        assert limit.snapshot()["probing"]
        limit.on_sample(0.015, 2, False, now_s)
    assert not limit.snapshot()["probing"]
    for _ in range(1000):
        limit.on_sample(0.015, 4, False, 110.49)
    assert not limit.snapshot()["probing"]
    limit.on_sample(0.015, 4, False, 110.51)

    assert limit.snapshot()["probing"]


def test_a_drop_during_a_probe_shrinks_what_comes_after() -> None:
    """It is no sample, and it is still a drop."""
    limit = fresh(20)
    number = 0
    while not limit.snapshot()["probing"]:
        limit.on_sample(0.015, 20, False, 2.0)
        number += 1
    assert 15 * 20 <= number <= 30 * 20
    held = limit.value
    before = limit._limit
    limit.on_sample(0.015, 5, True, 2.1)
    limit.on_sample(0.015, 5, True, 2.2)

    assert limit.value == held <= 10
    assert limit._limit == before - 2
    assert repr(limit) == f"<VegasLimit {held}, probing>"


def test_a_reset_begins_again() -> None:
    """At the initial limit, with no shortest and no probe."""
    limit = fresh(20)
    limit.on_sample(0.010, 20, False, 2.0)
    limit.reset(3.0)

    assert limit.snapshot() == {"limit": 20, "min_rtt_ms": None, "probing": False}
    assert repr(limit) == "<VegasLimit 20>"


@pytest.mark.golden
def test_the_story_of_an_overload() -> None:
    """Two workers, asked for all the limit lets in; then they become three times slower."""
    limit = VegasLimit(random.Random(1))
    service = Saturated(limit, workers=2)
    lines = []
    for second in range(30):
        service.service_s = 0.1 if second < 15 else 0.3
        rtt_s = service.run(1.0)
        lines.append(f"{second + 1:2d} s  rtt {rtt_s * 1000:4.0f} ms -> {dict(limit.snapshot())}")
    transcript.check("vegas", lines)
