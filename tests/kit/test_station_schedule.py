"""The station's virtual time: exact capacity, drops when dequeued, time given back."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import station_schedule as module
from kit.state import StationSetting
from kit.station_schedule import Job, StationSchedule, no_station


def station(workers: int = 2, mean_s: float = 0.1, cv: float = 0.0) -> StationSchedule:
    """Make a station; constant service times unless told otherwise."""
    return StationSchedule(StationSetting(workers, mean_s, cv), random.Random(7))


def arrive(schedule: StationSchedule, now_s: float, deadline_s: float | None = None) -> Job:
    """Let a request in that must find room."""
    schedule.advance(now_s)
    job = schedule.arrive(now_s, deadline_s)
    assert job is not None
    return job


def test_two_workers_of_100_ms_serve_exactly_20_a_second() -> None:
    """Saturated for a minute, and looked at only every 37 ms: late looks cost nothing."""
    schedule = station()
    for _ in range(1_300):
        arrive(schedule, 0.0)
    done = 0
    for step in range(1, round(60 / 0.037) + 1):
        done += len(schedule.advance(step * 0.037).finished)
    assert done == 2 * int(step * 0.037 / 0.1 + 1e-9)
    assert abs(done / (step * 0.037) - 20) < 0.02 * 20


def test_random_service_times_keep_the_capacity() -> None:
    """With cv 0.25 a saturated minute stays within 2 % of 20 a second."""
    schedule = station(cv=0.25)
    for _ in range(1_500):
        arrive(schedule, 0.0)
    assert abs(len(schedule.advance(60.0).finished) / 60 - 20) < 0.4


def test_a_free_worker_starts_at_once_and_the_third_waits() -> None:
    """First come, first served, from the instant a worker frees."""
    schedule = station()
    first, second, third = (arrive(schedule, at) for at in (0.0, 0.03, 0.05))
    assert (first.start_s, second.start_s, third.state) == (0.0, 0.03, "waiting")
    schedule.advance(0.5)
    assert third.start_s == pytest.approx(0.1)
    assert third.finish_s == pytest.approx(0.2)


def test_a_slowed_request_holds_its_worker_longer_and_says_how_much() -> None:
    """Five times 100 ms from when its service begins; the next one starts behind it."""
    schedule = station(workers=1)
    slowed = schedule.arrive(0.0, None, lambda: 5.0)
    usual = schedule.arrive(0.0, None, lambda: 1.0)
    assert slowed is not None
    assert usual is not None
    schedule.advance(1.0)
    assert (slowed.finish_s, usual.finish_s) == pytest.approx((0.5, 0.6))
    assert (slowed.slowed_s, usual.slowed_s) == pytest.approx((0.4, 0.0))


def test_a_slowed_request_that_is_cancelled_was_slowed_for_what_it_got() -> None:
    """Given up after 300 of 500 ms: 200 ms beyond the usual 100."""
    schedule = station(workers=1)
    job = schedule.arrive(0.0, None, lambda: 5.0)
    assert job is not None
    schedule.cancel(job, 0.3)
    assert job.slowed_s == pytest.approx(0.2)


def test_an_expired_request_is_dropped_when_its_turn_comes_and_not_before() -> None:
    """Its deadline is 60 ms, its turn 100 ms: until then it waits, then it costs nothing."""
    schedule = station(workers=1)
    arrive(schedule, 0.0)
    late = arrive(schedule, 0.01, deadline_s=0.06)
    assert schedule.advance(0.09).dropped == []
    assert schedule.advance(0.1).dropped == [late]
    assert schedule.stats(0.1).busy_s == pytest.approx(0.1)


def test_a_request_whose_finish_will_be_late_is_served_all_the_same() -> None:
    """Nobody predicts: it starts 10 ms before its deadline, and 90 ms are wasted."""
    schedule = station(workers=1)
    arrive(schedule, 0.0)
    late = arrive(schedule, 0.01, deadline_s=0.11)
    assert schedule.advance(0.2).finished[-1] is late
    stats = schedule.stats(0.2)
    assert stats.wasted_s == pytest.approx(0.09)
    assert stats.abandoned_s == pytest.approx(0.1)


def test_a_cancelled_job_gives_its_workers_time_back() -> None:
    """Cancelled at 30 ms: the next one starts at 30 ms."""
    schedule = station(workers=1)
    first = arrive(schedule, 0.0)
    second = arrive(schedule, 0.01)
    schedule.advance(0.03)
    schedule.cancel(first, 0.03)
    assert second.finish_s == pytest.approx(0.13)
    stats = schedule.stats(0.03)
    assert (stats.cancelled, stats.done) == (1, 0)
    assert stats.abandoned_s == pytest.approx(0.03)


def test_a_cancelled_waiter_is_never_served() -> None:
    """Its place in the queue is void, and cancelling twice changes nothing."""
    schedule = station(workers=1)
    arrive(schedule, 0.0)
    gone = arrive(schedule, 0.01)
    last = arrive(schedule, 0.02)
    schedule.cancel(gone, 0.03)
    schedule.cancel(gone, 0.03)
    assert schedule.waiting == 1
    assert schedule.advance(0.2).finished[-1] is last
    assert schedule.stats(0.2).cancelled == 1


def test_more_workers_take_those_who_wait_and_fewer_let_the_running_end() -> None:
    """A change moves nobody's finish."""
    schedule = station(workers=1)
    first, second, third = (arrive(schedule, 0.0) for _ in range(3))
    schedule.advance(0.05)
    schedule.set(StationSetting(2, 0.1, 0.0), 0.05)
    assert (first.finish_s, second.start_s) == (0.1, 0.05)
    schedule.set(StationSetting(1, 0.1, 0.0), 0.05)
    schedule.advance(0.1)
    assert third.state == "waiting"
    schedule.advance(0.151)
    assert third.start_s == pytest.approx(0.15)


def test_no_workers_let_everybody_through() -> None:
    """Taking the station away releases those who waited for it."""
    schedule = station(workers=1)
    arrive(schedule, 0.0)
    waiting = arrive(schedule, 0.0)
    assert schedule.set(StationSetting(0, 0.0, 0.0), 0.05).finished == [waiting]
    assert no_station(random.Random(1)).setting.workers == 0


def test_the_waiting_room_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full room refuses, and counts it."""
    assert module.MAX_WAITING == 10_000
    monkeypatch.setattr(module, "MAX_WAITING", 1)
    schedule = station(workers=1)
    arrive(schedule, 0.0)
    arrive(schedule, 0.0)
    assert schedule.arrive(0.0) is None
    assert schedule.stats(0.0).refused == 1


def test_a_reset_drops_all_and_zeroes_the_counters() -> None:
    """In flight 0, counters 0."""
    schedule = station(workers=1)
    jobs = [arrive(schedule, 0.0), arrive(schedule, 0.0)]
    assert schedule.reset().dropped == jobs
    assert set(schedule.stats(0.05)) == {0}
    assert repr(schedule) == "<StationSchedule 0 of 1 busy at 100 ms, 0 waiting>"


@settings(max_examples=60, deadline=None)
@given(
    workers=st.integers(1, 4),
    cv=st.sampled_from([0.0, 0.25, 1.0]),
    seed=st.integers(0, 9),
    steps=st.lists(
        st.tuples(st.floats(0.0, 0.2), st.sampled_from(["arrive", "cancel", "look"])), max_size=80
    ),
)
def test_no_time_is_lost_or_made_up(
    workers: int, cv: float, seed: int, steps: list[tuple[float, str]]
) -> None:
    """Work is conserved, nobody is served twice, no worker idles while someone waits."""
    rng = random.Random(seed)
    schedule = StationSchedule(StationSetting(workers, 0.1, cv), random.Random(seed))
    now_s, jobs = 0.0, []
    ended: list[Job] = []
    for wait_s, what in steps:
        now_s += wait_s
        ended += schedule.advance(now_s).finished
        if what == "arrive":
            jobs.append(arrive(schedule, now_s))
        elif what == "cancel" and jobs:
            schedule.cancel(rng.choice(jobs), now_s)
        assert schedule.busy <= workers
        assert not (schedule.waiting and schedule.busy < workers)
        assert schedule.busy_s(now_s) <= workers * now_s + 1e-9
    ended += schedule.advance(1e9).finished
    stats = schedule.stats(1e9)
    assert len(ended) == len(set(ended)) == stats.done
    assert stats.arrived == stats.done + stats.cancelled
    starts = [job.start_s for job in jobs if job.state == "finished"]
    assert starts == sorted(starts)


def test_a_newcomer_s_wait_is_the_queue_over_the_workers() -> None:
    """Four waiting before two workers of 100 ms are 200 ms; with a worker free it is nothing."""
    schedule = StationSchedule(StationSetting(2, 0.1, 0.0), random.Random(1))
    assert schedule.wait_s == 0.0
    for _ in range(6):
        schedule.arrive(0.0)
    assert schedule.wait_s == pytest.approx(0.2)


def test_work_for_a_caller_who_left_is_wasted_and_is_done_all_the_same() -> None:
    """It leaves after 30 of 100 ms, and the next at once: 70 and 100 ms are spent for nobody."""
    schedule = station(workers=1)
    first = schedule.arrive(0.0, None, gone_s=0.03)
    second = schedule.arrive(0.0, 9.0, gone_s=0.05)
    assert first is not None
    assert second is not None
    assert schedule.stats(0.05).wasted_s == pytest.approx(0.02)  # while it runs

    assert schedule.advance(1.0).finished == [first, second]
    stats = schedule.stats(1.0)
    assert (stats.done, stats.dropped) == (2, 0)
    assert stats.busy_s == pytest.approx(0.2)
    assert stats.wasted_s == pytest.approx(0.17)
    assert stats.abandoned_s == pytest.approx(0.2)


def test_a_deadline_before_the_leaving_counts_first() -> None:
    """Nobody waits from the earlier of the two."""
    schedule = station(workers=1)
    schedule.arrive(0.0, 0.04, gone_s=0.09)
    schedule.advance(1.0)
    assert schedule.stats(1.0).wasted_s == pytest.approx(0.06)
