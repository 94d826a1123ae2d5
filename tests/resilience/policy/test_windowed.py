"""Windowed limit: what a window is, and what it teaches."""

import pytest

from resilience.policy import windowed
from resilience.policy.contract import Snapshot
from resilience.policy.windowed import WindowedLimit
from tests.golden import transcript


class Recorder:
    """A Limit that notes what it is told."""

    def __init__(self) -> None:
        self.value = 8.0
        self.samples: list[tuple[float, int, bool, float]] = []

    def on_sample(self, rtt_s: float, in_flight: int, dropped: bool, now_s: float) -> None:
        self.samples.append((round(rtt_s, 9), in_flight, dropped, now_s))

    def reset(self, now_s: float) -> None:
        self.samples.clear()

    def snapshot(self) -> Snapshot:
        return {"limit": self.value}

    def __repr__(self) -> str:
        return "<Recorder>"


def fill(limit: WindowedLimit, rtts_s: list[float], drops: list[float], now_s: float) -> None:
    """Tell it answers and drops, three in flight."""
    for rtt_s in rtts_s:
        limit.on_sample(rtt_s, 3, False, now_s)
    for rtt_s in drops:
        limit.on_sample(rtt_s, 3, True, now_s)


def test_defaults_are_those_of_netflix() -> None:
    """1 s, ten samples, 100 µs; a tenth may be dropped."""
    limit = WindowedLimit(Recorder())
    assert (windowed.WINDOW_S, windowed.MIN_SAMPLES, windowed.MIN_RTT_S) == (1.0, 10, 0.0001)
    assert windowed.DROP_RATIO == 0.1
    assert (limit.window_s, limit.min_samples) == (1.0, 10)


@pytest.mark.parametrize(("window_s", "min_samples"), [(0.0, 10), (1.0, 0)])
def test_arguments_out_of_range_are_refused(window_s: float, min_samples: int) -> None:
    """A window of no time or of no samples is none."""
    with pytest.raises(ValueError, match="must be above 0"):
        WindowedLimit(Recorder(), window_s=window_s, min_samples=min_samples)
    WindowedLimit(Recorder(), window_s=0.001, min_samples=1)


def test_the_first_sample_after_the_end_closes_the_window_and_is_part_of_it() -> None:
    """Nine of 100 ms and one of 200 ms: 110 ms, with the most in flight of them."""
    learner = Recorder()
    limit = WindowedLimit(learner)
    fill(limit, [0.1] * 8, [], 5.0)
    limit.on_sample(0.1, 7, False, 6.0)  # at the end, not after it
    assert (learner.samples, repr(limit)) == ([], "<WindowedLimit 9 samples, <Recorder>>")
    limit.on_sample(0.2, 4, False, 6.001)

    assert learner.samples == [(0.11, 7, False, 6.001)]
    assert repr(limit) == "<WindowedLimit 0 samples, <Recorder>>"
    assert (limit.value, limit.snapshot()) == (8.0, {"limit": 8.0})


def test_the_next_window_begins_where_the_last_one_ended() -> None:
    """1 s after the sample that closed it, whatever was lost of the old one."""
    learner = Recorder()
    limit = WindowedLimit(learner)
    for now_s in (0.0, 1.5, 2.4, 2.6):
        fill(limit, [0.1] * 20, [], now_s)

    assert [sample[3] for sample in learner.samples] == [1.5, 2.6]


def test_fewer_than_ten_teach_nothing_and_are_forgotten() -> None:
    """Nine in one window and nine in the next are not eighteen."""
    learner = Recorder()
    limit = WindowedLimit(learner)
    fill(limit, [0.1] * 8, [], 0.0)
    fill(limit, [0.1], [], 1.5)
    fill(limit, [0.1] * 8, [], 2.0)
    fill(limit, [0.1], [], 2.6)

    assert learner.samples == []


def test_more_than_a_tenth_dropped_drops_the_window() -> None:
    """Two of twenty are chance, three are not; drops say nothing of the mean."""
    for drops, dropped in ((2, False), (3, True)):
        learner = Recorder()
        limit = WindowedLimit(learner)
        fill(limit, [0.1] * (19 - drops), [5.0] * drops, 0.0)
        limit.on_sample(0.1, 3, False, 1.1)
        assert learner.samples == [(0.1, 3, dropped, 1.1)]


def test_a_window_of_drops_alone_has_their_mean() -> None:
    """At least so long: there is nothing else to say."""
    learner = Recorder()
    limit = WindowedLimit(learner)
    fill(limit, [], [2.0] * 9, 0.0)
    limit.on_sample(3.0, 3, True, 1.1)

    assert learner.samples == [(2.1, 3, True, 1.1)]


def test_an_answer_below_100_us_does_not_count() -> None:
    """It came from no service; one of exactly that does."""
    limit = WindowedLimit(Recorder())
    limit.on_sample(0.00009, 3, False, 0.0)
    assert repr(limit) == "<WindowedLimit 0 samples, <Recorder>>"
    limit.on_sample(0.0001, 3, False, 0.0)

    assert repr(limit) == "<WindowedLimit 1 samples, <Recorder>>"


@pytest.mark.golden
def test_the_story_of_three_windows() -> None:
    """A second of answers, one with a few drops among them, one of too few."""
    learner = Recorder()
    limit = WindowedLimit(learner)
    lines = []
    for now_s, answers, drops in (
        (0.0, 12, 0),
        (1.2, 20, 2),
        (2.3, 12, 4),
        (3.5, 3, 0),
        (4.6, 1, 0),
    ):
        learner.samples.clear()
        fill(limit, [0.1] * answers, [0.9] * drops, now_s)
        told = learner.samples or "nothing"
        lines.append(f"{now_s} s  {answers} answers, {drops} drops -> {limit!r} taught {told}")
    transcript.check("windowed", lines)


def test_a_reset_forgets_the_window_and_resets_the_learner() -> None:
    """Nine samples from before and one after are one; its window begins then."""
    learner = Recorder()
    limit = WindowedLimit(learner)
    fill(limit, [0.1] * 9, [], 0.0)
    limit.reset(5.0)
    limit.on_sample(0.1, 3, False, 5.0)

    assert repr(limit) == "<WindowedLimit 1 samples, <Recorder>>"
    assert learner.samples == []
