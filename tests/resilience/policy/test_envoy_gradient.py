"""Envoy's gradient limit: its formula, its probe; neither the climb nor the pinning."""

import random
from math import inf, sqrt

import pytest

from resilience.policy import envoy_gradient
from resilience.policy.envoy_gradient import EnvoyGradientLimit
from tests.golden import transcript
from tests.resilience.policy.saturated import Saturated


class AsPublished:
    """The gradient controller before #11579: pinned at ``held``, any 50 round trips are taken."""

    def __init__(self, held: int, buffer: float, interval_s: float = 10.0) -> None:
        self.value = float(held)
        self.held = held
        self.buffer = buffer
        self.interval_s = interval_s
        self.samples: list[float] = []
        self.kept: float | None = self.value
        self.due_s = 0.0
        self.measured: list[float] = []
        self.pinned_s = 0.0
        self.last_s = 0.0

    def on_sample(self, rtt_s: float, in_flight: int, dropped: bool, now_s: float) -> None:
        self.samples.append(rtt_s)
        if self.kept is None and now_s >= self.due_s:
            self.kept, self.value = self.value, float(self.held)
            self.samples.clear()
        elif self.kept is not None:
            self.pinned_s += now_s - self.last_s
            if len(self.samples) >= 50:
                self.measured.append(sorted(self.samples)[25])
                self.value, self.kept = self.kept, None
                self.due_s = now_s + self.interval_s
                self.samples.clear()
        elif len(self.samples) > 2 and now_s - self.last_s >= 0.0 and len(self.samples) >= 20:
            median_s = sorted(self.samples)[len(self.samples) // 2]
            ratio = self.measured[-1] * (1 + self.buffer) / median_s
            self.value *= max(0.5, min(2.0, ratio))
            self.value = max(3.0, min(1000.0, self.value + sqrt(self.value)))
            self.samples.clear()
        self.last_s = now_s

    def reset(self, now_s: float) -> None: ...

    def snapshot(self) -> dict[str, float]:
        return {}


def measured(min_rtt_s: float = 0.1, **bounds: float) -> EnvoyGradientLimit:
    """A limit whose first probe is over: at 10 s, with this least round trip."""
    limit = EnvoyGradientLimit(random.Random(1), **bounds)  # type: ignore[arg-type]
    limit.on_sample(min_rtt_s, 1, False, 1.0)
    for _ in range(50):
        limit.on_sample(min_rtt_s, 3, False, 2.0)
    assert limit.snapshot()["probing"] is False
    return limit


def window(limit: EnvoyGradientLimit, rtt_s: float, from_s: float, held: int = 0) -> float:
    """A window of two samples begun after ``from_s``, the limit used up; return when it ends."""
    in_flight = held or int(limit.value)
    limit.on_sample(rtt_s, in_flight, False, from_s + rtt_s + 0.001)
    limit.on_sample(rtt_s, in_flight, False, from_s + rtt_s + 0.102)
    return from_s + rtt_s + 0.102


def test_defaults_are_those_of_envoy() -> None:
    """3..1000, 100 ms, 60 s with 15 %, 50 requests at 3, a buffer of 25 %, gradients of 0.5..2."""
    assert (envoy_gradient.MIN_LIMIT, envoy_gradient.MAX_LIMIT) == (3, 1000)
    assert (envoy_gradient.UPDATE_S, envoy_gradient.INTERVAL_S) == (0.1, 60.0)
    assert (envoy_gradient.JITTER, envoy_gradient.BUFFER) == (0.15, 0.25)
    assert (envoy_gradient.PROBE_REQUESTS, envoy_gradient.PROBE_CONCURRENCY) == (50, 3)
    assert (envoy_gradient.MIN_GRADIENT, envoy_gradient.MAX_GRADIENT) == (0.5, 2.0)
    assert (envoy_gradient.WINDOWS_AT_MIN, envoy_gradient.PROBE_TIME_SHARE) == (5, 0.05)
    limit = EnvoyGradientLimit(random.Random(1))
    assert (limit.min_limit, limit.max_limit) == (3, 1000)
    assert (limit.interval_s, limit.update_s, limit.value) == (60.0, 0.1, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_limit": 0}, "must hold"),
        ({"min_limit": 5, "max_limit": 4}, "must hold"),
        ({"interval_s": 0.0}, "above 0"),
        ({"update_s": 0.0}, "above 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, float], message: str) -> None:
    """Each error says which argument and what is allowed."""
    with pytest.raises(ValueError, match=message):
        EnvoyGradientLimit(random.Random(1), **arguments)  # type: ignore[arg-type]
    EnvoyGradientLimit(random.Random(1), min_limit=1, max_limit=1)


def test_it_begins_with_a_probe_at_three() -> None:
    """Nothing is known yet: 50 round trips at three in flight, of which the median counts."""
    limit = EnvoyGradientLimit(random.Random(1))
    limit.on_sample(0.1, 1, False, 1.0)
    assert limit.snapshot() == {"limit": 3, "gradient": 1.0, "min_rtt_ms": None, "probing": True}
    for number in range(50):
        limit.on_sample(0.05 + number / 1000, 3, False, 2.0)

    assert limit.snapshot() == {"limit": 3, "gradient": 1.0, "min_rtt_ms": 75.0, "probing": False}


@pytest.mark.paper
def test_the_formula() -> None:
    """calculateNewLimit: at the least round trip 1.25 × 3 = 3.75, and its root 1.94 above it."""
    limit = measured()
    now_s = window(limit, 0.1, 2.0)
    assert limit.value == pytest.approx(3.75 + sqrt(3.75))
    now_s = window(limit, 0.025, now_s)
    doubled = 2 * (3.75 + sqrt(3.75))
    assert limit.gradient == 2.0
    assert limit.value == pytest.approx(doubled + sqrt(doubled))
    before = limit.value
    window(limit, 9.0, now_s)

    assert limit.gradient == 0.5
    assert limit.value == pytest.approx(before / 2 + sqrt(before / 2))
    assert repr(limit) == "<EnvoyGradientLimit 10.1, gradient 0.50>"


def test_a_window_is_100_ms_from_the_first_answer_that_speaks_of_the_limit() -> None:
    """Admitted before the last update is no sample; the first after the end closes, and counts."""
    limit = measured()
    limit.on_sample(0.1, 3, False, 2.05)
    limit.on_sample(0.1, 3, False, 2.101)
    limit.on_sample(0.1, 3, False, 2.2)
    assert limit.value == 3
    limit.on_sample(0.1, 3, False, 2.202)

    assert limit.value > 5


def test_a_drop_counts_as_at_least_what_it_took() -> None:
    """Envoy forgets it, and a service that answers nothing in time keeps its limit."""
    limit = measured()
    now_s = window(limit, 0.1, 2.0)
    now_s = window(limit, 0.1, now_s)
    before = limit.value
    for at_s in (now_s + 1.1, now_s + 1.3):
        limit.on_sample(1.0, int(before), True, at_s)

    assert limit.gradient == 0.5
    assert limit.value < before


def test_it_grows_only_while_half_of_it_is_used_and_shrinks_anyhow() -> None:
    """A limit of 5.7 and two in flight: no word on six; three are enough."""
    limit = measured()
    now_s = window(limit, 0.1, 2.0)
    before = limit.value
    now_s = window(limit, 0.1, now_s, held=2)
    assert limit.value == before
    now_s = window(limit, 0.1, now_s, held=3)
    assert limit.value > before
    before = limit.value
    window(limit, 9.0, now_s, held=1)

    assert limit.value < before


def test_it_stays_within_its_bounds() -> None:
    """No samples that it gets take it out of 4..20."""
    limit = measured(min_limit=4, max_limit=20)
    assert limit.value == 4
    now_s = 2.0
    for _ in range(20):
        now_s = window(limit, 0.1, now_s)
    assert limit.value == 20
    for _ in range(4):
        now_s = window(limit, 9.0, now_s)
    assert 4 <= limit.value < 20


def test_a_round_trip_of_nought_is_the_best_there_is() -> None:
    """A clock too coarse to see it divides nothing by zero."""
    limit = measured()
    window(limit, 0.0, 2.0)

    assert limit.gradient == 2.0


def test_five_windows_at_the_least_measure_again_at_once() -> None:
    """The least round trip may be wrong: the service became slower. Four are not enough."""
    limit = measured(0.02)
    now_s = 2.0
    for _ in range(4):
        now_s = window(limit, 0.9, now_s)
    limit.on_sample(0.9, 3, False, now_s)
    assert limit.snapshot()["probing"] is False
    now_s = window(limit, 0.9, now_s)
    limit.on_sample(0.9, 3, False, now_s)

    assert limit.snapshot()["probing"] is True
    assert repr(limit) == "<EnvoyGradientLimit 3.0, gradient 0.50, probing>"


def test_the_next_probe_is_due_after_a_minute_and_up_to_15_percent() -> None:
    """Never before 60 s, never after 69 s, and not at the same time for two seeds."""
    due: set[float] = set()
    for seed in range(5):
        limit = EnvoyGradientLimit(random.Random(seed))
        limit.on_sample(0.1, 1, False, 1.0)
        for _ in range(50):
            limit.on_sample(0.1, 3, False, 2.0)
        now_s = 2.0
        while not limit.snapshot()["probing"]:
            now_s += 0.5
            limit.on_sample(0.1, 1, False, now_s)
        due.add(now_s)

    assert 62.0 <= min(due) < max(due) <= 71.5


def test_a_first_probe_that_gets_too_few_is_repeated() -> None:
    """One answer in four seconds measures nothing, and without a measure there is no gradient."""
    limit = EnvoyGradientLimit(random.Random(1))
    for now_s in (1.0, 5.0, 6.0, 7.0):
        limit.on_sample(2.0, 1, False, now_s)

    assert (limit.min_rtt_s, limit.value) == (inf, 3)
    assert limit.snapshot()["probing"] is True


def test_the_published_least_round_trip_climbs_under_load_and_this_one_does_not() -> None:
    """#11579, twenty workers of 100 ms, five minutes of overload: to twice; ours not at all."""
    published = AsPublished(held=20, buffer=1.0)
    Saturated(published, workers=20).run(300.0)
    ours = EnvoyGradientLimit(random.Random(1), interval_s=10.0)
    service = Saturated(ours, workers=20)
    least_s = []
    for _ in range(300):
        service.run(1.0)
        least_s.append(ours.min_rtt_s)

    assert published.measured[0] == pytest.approx(0.1)
    assert max(published.measured) > 0.2
    assert max(least_s[5:]) < 0.101


def test_the_published_probe_pins_and_this_one_refuses_a_bounded_share() -> None:
    """Twenty workers, ten minutes: published, 3 of 20 work during a probe; ours half at least."""
    limit = EnvoyGradientLimit(random.Random(1))
    service = Saturated(limit, workers=20)
    service.run(10.0)
    probing_s, passed, held = 0.0, 0, []
    for _ in range(6000):
        before_s, before = service.now_s, service.passed
        is_on = limit.snapshot()["probing"]
        service.run(0.1)
        if is_on:
            probing_s += service.now_s - before_s
            passed += service.passed - before
            held.append(limit.value)

    assert 0.0 < probing_s < 0.05 * 600
    assert passed > 0.5 * 200 * probing_s
    assert min(held) > 3


def test_a_reset_begins_again_with_a_probe() -> None:
    """At three, with nothing known."""
    limit = measured()
    window(limit, 0.1, 2.0)
    limit.reset(3.0)
    assert limit.snapshot() == {"limit": 3, "gradient": 1.0, "min_rtt_ms": None, "probing": False}
    limit.on_sample(0.1, 1, False, 3.1)

    assert limit.snapshot()["probing"] is True


@pytest.mark.golden
def test_the_story_of_a_burst() -> None:
    """Two of twenty workers busy, then all the limit lets in, then three times slower."""
    limit = EnvoyGradientLimit(random.Random(1))
    service = Saturated(limit, workers=20)
    lines = []
    for step in range(24):
        service.service_s = 0.1 if step < 16 else 0.3
        rtt_s = service.run(0.5, most=2 if step < 8 else 100_000)
        what = f"{(step + 1) / 2:4.1f} s  rtt {rtt_s * 1000:4.0f} ms"
        lines.append(f"{what} -> {dict(limit.snapshot())}")
    transcript.check("envoy_gradient", lines)
