"""The station on a real loop: waiting, dropping, cancelling, changing."""

import asyncio
import random
import time
from collections.abc import Callable

import pytest

from kit.state import NO_STATION, StationSetting
from kit.station import Station
from kit.station_schedule import StationSchedule
from resilience.errors import DeadlineExpired, LimitExceeded, ServiceError

LIMIT_S = 10.0


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now_s


def station(workers: int, mean_s: float, clock: Callable[[], float] = time.monotonic) -> Station:
    """Make a station with constant service times."""
    schedule = StationSchedule(StationSetting(workers, mean_s, 0.0), random.Random(1))
    return Station(schedule, clock)


async def test_requests_wait_their_turn() -> None:
    """Four requests on two workers of 30 ms need 60 ms."""
    under_test = station(2, 0.03)
    started_s = time.monotonic()
    await asyncio.gather(*(under_test.serve() for _ in range(4)))
    assert time.monotonic() - started_s >= 0.06
    assert under_test.stats().done == 4
    assert under_test.in_flight == 0


async def test_without_workers_nothing_waits() -> None:
    """A process without a station pays one comparison."""
    under_test = Station(StationSchedule(NO_STATION, random.Random(1)))
    await under_test.serve()
    assert under_test.stats().arrived == 0
    assert under_test.busy_share() == 0.0


async def test_a_request_past_its_deadline_is_dropped_unstarted() -> None:
    """It waited behind one of 50 ms with 10 ms left: no work was begun for it."""
    clock = Clock()
    under_test = station(1, 0.05, clock)
    first = asyncio.ensure_future(under_test.serve())
    late = asyncio.ensure_future(under_test.serve(clock.now_s + 0.01))
    await asyncio.sleep(0)
    clock.now_s += 0.06
    with pytest.raises(DeadlineExpired) as caught:
        await asyncio.wait_for(late, LIMIT_S)
    assert not caught.value.started
    await first
    assert under_test.stats().dropped == 1


@pytest.mark.parametrize("which", [0, 1])
async def test_cancelling_frees_the_worker_or_the_place(which: int) -> None:
    """Served or waiting: the other one is done after one service time."""
    clock = Clock()
    under_test = station(1, 0.05, clock)
    tasks = [asyncio.ensure_future(under_test.serve()) for _ in range(2)]
    await asyncio.sleep(0)
    tasks[which].cancel()
    await asyncio.sleep(0)
    clock.now_s += 0.06  # two service times would be 100 ms, and the clock stays here
    await asyncio.wait_for(tasks[1 - which], LIMIT_S)
    with pytest.raises(asyncio.CancelledError):
        await tasks[which]
    assert under_test.stats().cancelled == 1
    assert under_test.in_flight == 0


async def test_a_drop_and_a_cancel_in_one_turn_leave_nothing_behind() -> None:
    """The error that nobody can receive any more is not reported as forgotten."""
    under_test = station(1, 30.0)
    task = asyncio.ensure_future(under_test.serve())
    await asyncio.sleep(0)
    under_test.reset()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert under_test.in_flight == 0


async def test_a_reset_ends_all_waits() -> None:
    """Everybody gets an error that says so."""
    under_test = station(1, 30.0)
    tasks = [asyncio.ensure_future(under_test.serve()) for _ in range(3)]
    await asyncio.sleep(0)
    under_test.reset()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert {one.reason for one in found if isinstance(one, ServiceError)} == {"STATION_RESET"}
    assert len(found) == 3


async def test_new_figures_hold_for_those_who_wait() -> None:
    """Taking the station away lets the second through at once, and the first serves its time."""
    under_test = station(1, 30.0)
    first = asyncio.ensure_future(under_test.serve())
    second = asyncio.ensure_future(under_test.serve())
    await asyncio.sleep(0)
    under_test.set(NO_STATION)
    await asyncio.sleep(0)
    assert second.done()
    assert not first.done()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_full_room_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """LimitExceeded, so that the caller may go elsewhere."""
    monkeypatch.setattr("kit.station_schedule.MAX_WAITING", 0)
    under_test = station(1, 30.0)
    with pytest.raises(LimitExceeded):
        await under_test.serve()


def test_busy_share_is_worker_time_over_the_last_second() -> None:
    """One of two workers busy for half of a second: a quarter."""
    now_s = 0.0
    schedule = StationSchedule(StationSetting(2, 0.5, 0.0), random.Random(1))
    under_test = Station(schedule, lambda: now_s)
    schedule.arrive(0.0)
    now_s = 0.5
    assert under_test.busy_share() == pytest.approx(0.5)
    now_s = 1.0
    assert under_test.busy_share() == pytest.approx(0.25)
    now_s = 1.6
    assert under_test.busy_share() == pytest.approx(0.0)
