"""Deadline cap: what it learns, when it binds, and the rule in plain numbers."""

from math import inf

import pytest

from resilience.policy import deadline_cap
from resilience.policy.bbr import BbrLimiter
from resilience.policy.contract import Outcome
from resilience.policy.deadline_cap import DeadlineCap
from tests.golden import transcript
from tests.resilience.policy.overload_model import OverloadModel, Phase


class Station:
    """So many workers of one service time, first come first served, seen by a cap."""

    def __init__(self, cap: DeadlineCap, workers: int, service_s: float) -> None:
        self.cap = cap
        self.workers = workers
        self.service_s = service_s

    def hold(
        self, in_flight: int, from_s: float, seconds: float, outcome: Outcome = Outcome.OK
    ) -> float:
        """Keep as many in flight for a while: each that ends is followed by another one."""
        rtt_s = self.service_s * max(1.0, in_flight / self.workers)
        gap_s = rtt_s / in_flight
        self.cap.refuse(0, None, from_s)
        now_s = from_s
        for _ in range(round(seconds / gap_s)):
            now_s += gap_s
            self.cap.settle(rtt_s, outcome, in_flight, now_s)
        self.cap.settle(rtt_s, Outcome.IGNORED, 0, now_s)
        return now_s


def test_defaults_are_those_of_the_sources() -> None:
    """Half the time left; slices as the buckets of bbr; 1.5 as Gradient2; an eighth as TCP."""
    assert (deadline_cap.DEADLINE_SHARE, DeadlineCap().share) == (0.5, 0.5)
    assert (deadline_cap.SLICE_SAMPLES, deadline_cap.SLICE_LEAST, deadline_cap.SLICES) == (20, 4, 5)
    assert (deadline_cap.SLICE_MIN_S, deadline_cap.SLICE_MAX_S) == (0.1, 1.0)
    assert (deadline_cap.QUEUED_RATIO, deadline_cap.LATE_RATIO, deadline_cap.ALONE) == (
        1.5,
        0.5,
        1.5,
    )
    assert deadline_cap.SMOOTHING == 1 / 8


@pytest.mark.parametrize("share", [0.0, -1.0, 1.01])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    """No time at all caps everything, more than all of it caps nothing."""
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        DeadlineCap(share)
    DeadlineCap(1.0)


def test_without_a_queue_it_lets_any_number_in() -> None:
    """A service of which nobody waits has shown no bound: a burst may come in whole."""
    cap = DeadlineCap()
    Station(cap, workers=1000, service_s=0.05).hold(2, 0.0, 3.0)

    assert cap.cap(1.0) == inf
    assert cap.refuse(500, 4.0, 3.0) is None
    assert repr(cap) == "<DeadlineCap free, 40.0 a second>"


def test_with_a_queue_the_rate_times_half_the_time_left_may_be_in_flight() -> None:
    """Two workers of 100 ms end 20 a second: 10 in flight for a second left, 4 for 400 ms."""
    cap = DeadlineCap()
    station = Station(cap, workers=2, service_s=0.1)
    station.hold(1, 0.0, 3.0)
    assert cap.cap(1.0) == inf
    station.hold(8, 3.0, 4.0)

    assert cap.rate == pytest.approx(20.0)
    assert cap.shortest_s == pytest.approx(0.1)
    assert (cap.cap(1.0), cap.cap(0.4), cap.cap(2.0)) == (10, 4, 20)
    assert cap.refuse(10, 8.0, 7.0) == 10
    assert cap.refuse(9, 8.0, 7.0) is None
    assert cap.refuse(10, None, 7.0) is None
    assert repr(cap) == "<DeadlineCap binds, 20.0 a second>"


def test_a_service_of_half_its_deadline_may_keep_every_worker_busy() -> None:
    """Ten workers of 500 ms and a second left: 1.5 service times, 15; never beyond the deadline."""
    cap = DeadlineCap()
    station = Station(cap, workers=10, service_s=0.5)
    station.hold(1, 0.0, 4.0)
    station.hold(30, 4.0, 3.0)

    assert cap.shortest_s == pytest.approx(0.5)
    assert (cap.cap(1.0), cap.cap(0.6), cap.cap(0.04), cap.cap(-1.0)) == (15, 12, 1, 1)


def test_time_in_which_nothing_is_in_flight_does_not_count() -> None:
    """One request of 10 ms every second: a rate of 100 a second, not of one."""
    cap = DeadlineCap()
    for second in range(6):
        cap.refuse(0, None, float(second))
        cap.settle(0.01, Outcome.OK, 0, second + 0.01)

    assert cap.rate == pytest.approx(100.0)


def test_it_binds_until_a_slice_passes_that_needs_it_not() -> None:
    """What it holds down shows no queue because it is held down: a refusal keeps it there."""
    cap = DeadlineCap()
    station = Station(cap, workers=2, service_s=0.1)
    station.hold(1, 0.0, 3.0)
    now_s = station.hold(8, 3.0, 2.0)
    for _ in range(4):
        assert cap.refuse(50, now_s + 1.0, now_s) is not None
        now_s = station.hold(2, now_s, 1.0)
    assert cap.binds
    station.hold(2, now_s, 2.0)

    assert not cap.binds


def test_mostly_late_makes_what_was_possible_void() -> None:
    """Half too late is not yet mostly; one more, and only this slice counts: 5 a second."""
    cap = DeadlineCap()
    station = Station(cap, workers=2, service_s=0.1)
    now_s = station.hold(2, 0.0, 3.0)
    cap.refuse(0, None, now_s)
    for number in range(20):
        now_s += 0.05
        outcome = Outcome.OVERLOADED if number % 2 else Outcome.OK
        cap.settle(0.1, outcome, 2, now_s)
    assert not cap.binds
    assert cap.rate == pytest.approx(20.0)
    for number in range(20):
        now_s += 0.1
        cap.settle(0.1, Outcome.OK if number % 4 == 0 else Outcome.OVERLOADED, 2, now_s)

    assert cap.binds
    assert cap.rate == pytest.approx(2.5, rel=0.1)


def test_nothing_in_time_leaves_one_in_flight() -> None:
    """With a rate of nought the cap is 1, so that the next answer can be learned from."""
    cap = DeadlineCap()
    Station(cap, workers=2, service_s=2.0).hold(4, 0.0, 30.0, Outcome.OVERLOADED)

    assert cap.shortest_s == inf
    assert cap.cap(1.0) == 1


def test_a_longer_round_trip_that_was_alone_is_the_new_shortest() -> None:
    """A service that became three times slower is relearned once nothing was beside a request."""
    cap = DeadlineCap()
    now_s = Station(cap, workers=2, service_s=0.1).hold(1, 0.0, 2.0)
    slower = Station(cap, workers=2, service_s=0.3)
    now_s = slower.hold(2, now_s, 3.0)
    assert cap.shortest_s < 0.15
    assert cap.binds
    slower.hold(1, now_s, 3.0)

    assert cap.shortest_s == pytest.approx(0.3)


def test_failed_and_ignored_teach_nothing() -> None:
    """A call that fails at once has a round trip no answer can have."""
    cap = DeadlineCap()
    station = Station(cap, workers=2, service_s=0.1)
    station.hold(2, 0.0, 3.0, Outcome.FAILED)
    station.hold(2, 3.0, 3.0, Outcome.IGNORED)

    assert (cap.rate, cap.binds) == (0.0, False)


def test_a_reset_forgets_all_but_that_something_is_in_flight() -> None:
    """The busy spell goes on from the reset, so the first slice after it is right."""
    cap = DeadlineCap()
    station = Station(cap, workers=2, service_s=0.1)
    station.hold(1, 0.0, 3.0)
    station.hold(8, 3.0, 3.0)
    cap.refuse(0, None, 6.0)
    cap.reset(7.0)
    assert (cap.rate, cap.binds, cap.cap(1.0)) == (0.0, False, inf)
    for number in range(1, 21):
        cap.settle(0.1, Outcome.OK, 2, 7.0 + number / 20)

    assert cap.rate == pytest.approx(20.0)


@pytest.mark.golden
def test_the_story_of_a_queue() -> None:
    """Two workers of 100 ms: one at a time, eight at a time, mostly late, and one at a time."""
    cap = DeadlineCap()
    station = Station(cap, workers=2, service_s=0.1)
    lines = []
    now_s = 0.0
    for held, outcome in (
        (1, Outcome.OK),
        (8, Outcome.OK),
        (8, Outcome.OVERLOADED),
        (1, Outcome.OK),
    ):
        for _ in range(3):
            now_s = station.hold(held, now_s, 1.0, outcome)
            what = f"{now_s:4.1f} s  {held} in flight, {outcome.name:10} -> {cap!r}"
            lines.append(f"{what}, for 1 s left {cap.cap(1.0)}, for 400 ms {cap.cap(0.4)}")
    transcript.check("deadline_cap", lines)


def test_bbr_overshoots_where_a_service_takes_a_third_of_its_deadline_and_with_the_cap_not() -> (
    None
):
    """Ten times capacity, 333 ms of 1 s, 20 seeds: a tenth of the late ones, and more goodput."""
    phases = (Phase(8.0, 3.0, 1 / 3), Phase(20.0, 60.0, 1 / 3))

    def late_and_served(share: float | None) -> tuple[int, float]:
        late, served = 0, 0.0
        for seed in range(20):
            model = OverloadModel(
                lambda pressure: BbrLimiter(pressure, deadline_share=share), seed, phases=phases
            )
            run = model.run()
            late += len(run.late)
            served += run.answered(8.0, 28.0) / (20 * 6.0) / 20
        return late, served

    late, served = late_and_served(None)
    late_capped, served_capped = late_and_served(0.5)
    assert late > 30
    assert late_capped * 5 < late
    assert served_capped > served
