"""Figures that the lab itself tells: plain numbers."""

from typing import Any

import pytest

from chaos.drill import readings
from chaos.drill.metrics import Arrivals, observe
from chaos.drill.readings import CommandRun, Readings, Sample, growth, steps, totals
from chaos.drill.records import Window
from chaos.drill.schema import Hypothesis
from tests.chaos.drill.build import record

pytestmark = pytest.mark.unit

PHASE = Window(2.0, 6.0)


def answer(seconds: float, busy_s: float = 0.0, wasted_s: float = 0.0, **more: Any) -> Any:
    """Make what a process says of itself."""
    station = {"busy_s": busy_s, "wasted_s": wasted_s, "arrived": 10 * busy_s}
    return {"seconds": seconds, "station": station, **more}


def busy(samples: list[Sample]) -> list[tuple[float, float]]:
    """Follow the stations' busy seconds."""
    return totals(samples, readings.station("busy_s"))


def test_constants_are_the_documented_ones() -> None:
    """Slack of a life 1.5 s, a last word 2 s late, a command known to 0.1 s."""
    assert (readings.RESTART_SLACK_S, readings.LATE_WORD_S) == (1.5, 2.0)
    assert readings.MIN_COMMAND_SD_S == 0.1
    assert pytest.approx(0.408, abs=0.001) == readings.EDGE_SD


def test_totals_add_everybody_up() -> None:
    """Two processes, two seconds."""
    samples = [
        Sample(1.0, {"video.1": answer(1, 0.5), "video.2": answer(1, 0.2)}),
        Sample(2.0, {"video.1": answer(2, 1.0), "video.2": answer(2, 0.4)}),
    ]

    assert [total for _, total in busy(samples)] == pytest.approx([0.7, 1.4])


def test_a_process_that_starts_anew_counts_on() -> None:
    """Its first life's 5 s stay; what it counts from zero is added, even when it is soon more."""
    samples = [
        Sample(10.0, {"video.1": answer(10, 5.0)}),
        Sample(11.0, {"video.1": answer(0.5, 0.1)}),
        Sample(12.0, {"video.1": answer(1.5, 6.0)}),
    ]

    assert [total for _, total in busy(samples)] == [5.0, pytest.approx(5.1), pytest.approx(11.0)]


def test_a_younger_process_with_higher_counters_is_another_one_too() -> None:
    """Restarted between two samples and busier than before: age tells."""
    samples = [
        Sample(10.0, {"video.1": answer(10, 0.5)}),
        Sample(20.0, {"video.1": answer(8, 0.7)}),
    ]

    assert busy(samples)[-1][1] == pytest.approx(1.2)


def test_a_late_answer_is_no_other_life() -> None:
    """A blocked loop answers a second late, and its age with it."""
    samples = [
        Sample(10.0, {"gateway.1": answer(11.0, 1.0)}),
        Sample(11.0, {"gateway.1": answer(11.1, 1.1)}),
    ]

    assert busy(samples)[-1][1] == pytest.approx(1.1)


def test_who_is_silent_keeps_what_was_said_last() -> None:
    """Paused for two seconds, control away for one."""
    samples = [
        Sample(1.0, {"video.1": answer(1, 0.5)}),
        Sample(2.0, {}),
        Sample(3.0, {"video.1": answer(3, 0.7)}),
    ]

    assert [total for _, total in busy(samples)] == [0.5, 0.5, 0.7]


def test_steps_are_those_of_the_phase() -> None:
    """Borders may be half a second off: asking takes time."""
    series = [(0.0, 0.0), (1.0, 1.0), (2.1, 3.0), (3.0, 6.0), (6.2, 10.0), (7.0, 20.0)]

    assert steps(series, PHASE) == [3.0, 4.0]


def test_growth_is_even_between_samples() -> None:
    """Nobody answered between 4 and 10 s: half of those six seconds' work lies in the window."""
    series = [(0.0, 1.0), (4.0, 2.0), (10.0, 8.0), (12.0, 9.0)]
    assert growth(series, Window(4.0, 7.0)) == 3.0
    assert growth(series, Window(2.0, 11.0)) == 7.0
    assert growth(series, Window(-5.0, 20.0)) == 8.0
    assert growth([], Window(0.0, 1.0)) == 0.0


def test_wasted_share_is_of_all_stations_time() -> None:
    """4 of 16 worker-seconds; the deviation is at least that of 160 requests."""
    samples = [
        Sample(
            at_s, {"video.1": answer(at_s, 3 * at_s, 0.0), "comment.1": answer(at_s, at_s, at_s)}
        )
        for at_s in (2.0, 3.0, 4.0, 5.0, 6.0)
    ]

    seen = readings.wasted_share(Readings(samples), PHASE)

    assert seen.value == pytest.approx(0.25)
    assert seen.samples == 160
    assert seen.sd == pytest.approx(0.034, abs=0.002)


def test_wasted_share_spreads_with_its_seconds() -> None:
    """All in one second is less sure than a quarter in each."""
    wasted = (0.0, 0.0, 4.0, 4.0, 4.0)
    samples = [
        Sample(2.0 + n, {"video.1": answer(n + 1, 4.0 * n, wasted_s)})
        for n, wasted_s in enumerate(wasted)
    ]

    seen = readings.wasted_share(Readings(samples), PHASE)

    assert seen.value == pytest.approx(0.25)
    assert seen.sd == pytest.approx(0.25, abs=0.01)


def test_no_work_is_no_share() -> None:
    """Nothing was busy, so nothing can be said."""
    assert readings.wasted_share(Readings(), PHASE).value is None


def blocks(**counts: int) -> dict[str, Any]:
    """Make a loop's blocks by function."""
    return {"loop": {"blocks": {name.replace("__", "?"): n for name, n in counts.items()}}}


def test_watchdog_counts_named_blocks_of_the_faults_targets() -> None:
    """Six of gateway.1 in the phase, one before it, one unnamed, one of a bystander."""
    samples = [
        Sample(2.0, {"gateway.1": answer(2, **blocks(hold=1)), "video.1": answer(2)}),
        Sample(6.8, {"gateway.1": answer(6, **blocks(hold=5, sleep=2, __=1)),
                     "video.1": answer(6, **blocks(hold=9))}),
    ]  # fmt: skip

    seen = readings.watchdog_named(Readings(samples, (), ["gateway.1"]), PHASE)

    assert (seen.value, seen.sd) == (6.0, readings.EDGE_SD)
    assert readings.watchdog_named(Readings(samples, (), ["gateway"]), PHASE).value == 6.0
    assert readings.watchdog_named(Readings((), (), ["gateway"]), PHASE).value is None


def test_command_counts_only_when_every_run_exits_as_it_must() -> None:
    """Then the slowest is the figure."""
    runs = [CommandRun("status", 0.5, 3), CommandRun("status", 0.9, 3), CommandRun("up", 9.0, 0)]
    told = Readings((), runs)

    seen = readings.command_seconds(told, "status", 3)
    assert (seen.value, seen.samples) == (0.9, 2)
    assert seen.sd == pytest.approx(0.283, abs=0.001)
    assert readings.command_seconds(told, "up", 0).sd == 0.1
    assert readings.command_seconds(told, "status", 0).value is None
    assert readings.command_seconds(told, "down", 0).value is None


def claim(metric: str, **more: Any) -> Hypothesis:
    """Make a hypothesis about a metric."""
    return Hypothesis(name="x", metric=metric, bound=">= 0", **more)


def offered(good_from_s: float) -> Arrivals:
    """Ten a second in steady and fault; from some second on they are answered in time again."""
    records = [
        record(n, n / 10, 0.1 if n < 20 or n / 10 >= good_from_s else 3.0) for n in range(60)
    ]
    return Arrivals(records, {"steady": Window(0, 2), "fault": PHASE}, 1.0)


def test_goodput_of_steady_is_a_ratio_of_rates() -> None:
    """A quarter of the phase's seconds are good."""
    seen = observe(claim("goodput_of_steady"), offered(5.0))

    assert seen.value == pytest.approx(0.25)
    assert seen.sd is not None
    assert seen.sd > 0.2
    only_fault = Arrivals(offered(5.0).records, {"fault": PHASE}, 1.0)
    assert observe(claim("goodput_of_steady"), only_fault).value is None


def test_goodput_of_offered_can_look_at_the_last_seconds_alone() -> None:
    """The last second of four is good: a quarter of all, all of the last, half of the last two."""
    late = offered(5.0)

    assert observe(claim("goodput_of_offered"), late).value == pytest.approx(0.25)
    assert observe(claim("goodput_of_offered", last_s=1), late).value == 1.0
    assert observe(claim("goodput_of_offered", last_s=2), late).value == pytest.approx(0.5)


def test_goodput_of_offered_is_less_sure_when_seconds_differ() -> None:
    """Half of each second in time is surer than half of the seconds."""
    split = observe(claim("goodput_of_offered", last_s=2), offered(5.0))

    assert split.sd is not None
    assert split.sd > 0.3


def test_arrivals_that_were_never_sent_count_as_offered() -> None:
    """A generator without room doesn't flatter the lab."""
    unsent = Arrivals([record(n, 2 + n / 10, None) for n in range(10)], {"fault": PHASE}, 1.0)

    assert observe(claim("goodput_of_offered"), unsent).value == 0.0


def test_metrics_of_readings_wait_for_them() -> None:
    """While the arm runs there are none."""
    running = offered(5.0)

    for metric in ("wasted_share", "watchdog_named", "command_seconds"):
        assert observe(claim(metric, command="status"), running).value is None
