"""Figures of an arm, each with its standard deviation: pure, from what was recorded alone.

Most come from the arrivals; those that only the lab itself can tell (wasted work, blocked loops, a
command's seconds) from ``chaos.drill.readings``. How deviations are found: see
``chaos.drill.observation``. A time is known to the gap between two arrivals.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from chaos.drill import readings
from chaos.drill.calls import calls_per_request, share_of_calls
from chaos.drill.fairness import jain_index
from chaos.drill.grown import moved_of_gained
from chaos.drill.node_share import node_share
from chaos.drill.observation import NOTHING_SEEN, Observation, batch_sd, count, ratio, share
from chaos.drill.origin import origin_calls
from chaos.drill.quota_share import admitted_of_quota, error_count
from chaos.drill.readings import NOTHING_READ, Readings
from chaos.drill.records import REJECTIONS, Record, Window, select_route
from chaos.drill.schema import ALL, RECOVER, STEADY, Drill, Hypothesis
from chaos.drill.written import (
    acknowledged_lost,
    first_local_write_s,
    last_cut_off_write_s,
    writes_of_steady,
)

NORMAL_SHARE = 0.9  # of the steady state's share in time: a window with less is not yet normal
RECOVERY_WINDOW_S = 1.0
RECOVERY_STEP_S = 0.1
MIN_TIME_SD_S = 0.1  # a time is never known better than the step it is searched with


@dataclass(frozen=True, slots=True)
class Arrivals:
    """An arm's arrivals and what is needed to judge them.

    Args:
        records: In the order of the schedule.
        windows: By phase.
        budget_s: In time means within this.
        capacity_rps: Declared; None when the drill has none.
        readings: What the lab told meanwhile; nothing while the arm still runs.
    """

    records: Sequence[Record]
    windows: Mapping[str, Window]
    budget_s: float
    capacity_rps: float | None = None
    readings: Readings = NOTHING_READ

    def of(self, phase: str, route: str = "") -> Sequence[Record]:
        """Return the arrivals due in a phase; none where the arm lacks it."""
        if not self.has(phase):
            return ()
        return select_route(self.window(phase).of(self.records), route)

    def has(self, phase: str) -> bool:
        """Whether the arm has this phase; it has ``all`` of its own if it has any."""
        return bool(self.windows) if phase == ALL else phase in self.windows

    def window(self, phase: str) -> Window:
        """Return when a phase begins and ends, or ``all`` of them together.

        Raises:
            KeyError: The arm lacks the phase.
        """
        if phase != ALL:
            return self.windows[phase]
        windows = self.windows.values()
        return Window(min(w.from_s for w in windows), max(w.to_s for w in windows))


def phase_windows(drill: Drill) -> dict[str, Window]:
    """Return when each phase begins and ends."""
    windows: dict[str, Window] = {}
    start_s = 0.0
    for phase in drill.load.phases:
        windows[phase.name] = Window(start_s, start_s + phase.seconds)
        start_s += phase.seconds
    return windows


def observe(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    """Compute a hypothesis' figure.

    Raises:
        KeyError: The metric is unknown; a checked drill has none such.
    """
    return METRICS[hypothesis.metric](hypothesis, arrivals)


def seconds_to_recover(arrivals: Arrivals) -> Observation:
    """Return the seconds after the fault from which on everything is normal; None for never.

    Normal: in each window of one second at least 0.9 of the steady state's share of arrivals is
    answered in time; a window without arrivals is normal.
    """
    steady = _in_time_share(arrivals.of(STEADY), arrivals.budget_s)
    if steady is None or RECOVER not in arrivals.windows:
        return NOTHING_SEEN
    phase = arrivals.windows[RECOVER]
    records = arrivals.of(RECOVER)
    steps = max(0, round((phase.seconds - RECOVERY_WINDOW_S) / RECOVERY_STEP_S))
    first_good = 0
    for step in range(steps + 1):
        from_s = phase.from_s + step * RECOVERY_STEP_S
        due = Window(from_s, from_s + RECOVERY_WINDOW_S).of(records)
        now = _in_time_share(due, arrivals.budget_s)
        if now is not None and now < NORMAL_SHARE * steady:
            first_good = step + 1
    if first_good > steps:
        return Observation(None, None, len(records))
    sd = max(MIN_TIME_SD_S, phase.seconds / max(1, len(records)))
    return Observation(round(first_good * RECOVERY_STEP_S, 3), sd, len(records))


def goodput_rps(arrivals: Arrivals, phase: str, route: str = "") -> Observation:
    """Return answers in time per second, by the second in which they were due."""
    window = arrivals.window(phase)
    seconds = max(1, round(window.seconds))
    counts = [0] * seconds
    records = arrivals.of(phase, route)
    for record in records:
        if record.is_within(arrivals.budget_s):
            second = int((record.scheduled_s - window.from_s) / window.seconds * seconds)
            counts[min(second, seconds - 1)] += 1
    length_s = window.seconds / seconds
    spread = stdev(counts) if seconds > 1 else 0.0
    # Poisson's root of n is the least that a count of independent arrivals can spread.
    sd = max(spread / math.sqrt(seconds), math.sqrt(sum(counts) + 1) / seconds / 2) / length_s
    return Observation(fmean(counts) / length_s, sd, len(records))


def percentile_ms(ordered_ms: Sequence[float], of: float) -> float | None:
    """Return the smallest value that at least this share doesn't exceed; None of nothing."""
    if not ordered_ms:
        return None
    return round(ordered_ms[max(0, math.ceil(of * len(ordered_ms)) - 1)], 1)


def _in_time_share(records: Sequence[Record], budget_s: float) -> float | None:
    if not records:
        return None
    return sum(record.is_within(budget_s) for record in records) / len(records)


def _base(hypothesis: Hypothesis, arrivals: Arrivals) -> Sequence[Record]:
    """What a share is a share of."""
    records = arrivals.of(hypothesis.phase, hypothesis.route)
    if hypothesis.of == "answered":
        return [record for record in records if record.is_success]
    return [record for record in records if record.is_sent]


def _count_where(
    hypothesis: Hypothesis, arrivals: Arrivals, test: Callable[[Record], bool]
) -> Observation:
    return count(sum(test(record) for record in _base(hypothesis, arrivals)))


def _share_where(
    hypothesis: Hypothesis, arrivals: Arrivals, test: Callable[[Record], bool]
) -> Observation:
    records = _base(hypothesis, arrivals)
    return share(sum(test(record) for record in records), len(records))


def _goodput_rps(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return goodput_rps(arrivals, hypothesis.phase, hypothesis.route)


def _goodput_of_capacity(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    rate = _goodput_rps(hypothesis, arrivals)
    capacity = arrivals.capacity_rps
    if rate.value is None or rate.sd is None or not capacity:
        return NOTHING_SEEN
    return Observation(rate.value / capacity, rate.sd / capacity, rate.samples)


def _goodput_of_steady(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    if STEADY not in arrivals.windows:
        return NOTHING_SEEN
    return ratio(
        _goodput_rps(hypothesis, arrivals), goodput_rps(arrivals, STEADY, hypothesis.route)
    )


def _goodput_of_offered(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    """Answers in time over arrivals that were due, sent or not."""
    window = arrivals.window(hypothesis.phase)
    if hypothesis.last_s is not None:
        window = Window(max(window.from_s, window.to_s - hypothesis.last_s), window.to_s)
    due = window.of(arrivals.of(hypothesis.phase, hypothesis.route))
    seconds = max(1, round(window.seconds))
    offered, good = [0.0] * seconds, [0.0] * seconds
    for record in due:
        second = int((record.scheduled_s - window.from_s) / window.seconds * seconds)
        offered[min(second, seconds - 1)] += 1
        good[min(second, seconds - 1)] += record.is_within(arrivals.budget_s)
    seen = share(int(sum(good)), len(due))
    sd = None if seen.sd is None else max(seen.sd, batch_sd(good, offered))
    return Observation(seen.value, sd, seen.samples)


def _jain_index(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    if not arrivals.capacity_rps:
        return NOTHING_SEEN
    seconds = arrivals.window(hypothesis.phase).seconds
    records = arrivals.of(hypothesis.phase)
    return jain_index(records, seconds, arrivals.budget_s, arrivals.capacity_rps)


def _origin_calls(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return origin_calls(arrivals.readings, arrivals.window(hypothesis.phase), hypothesis.at)


def _node_share(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return node_share(arrivals.readings, arrivals.window(hypothesis.phase), hypothesis.at)


def _share_of_calls(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return share_of_calls(arrivals.readings, arrivals.window(hypothesis.phase), hypothesis.at)


def _wasted_share(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return readings.wasted_share(arrivals.readings, arrivals.window(hypothesis.phase))


def _calls_per_request(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    records = arrivals.of(hypothesis.phase, hypothesis.route)
    window = arrivals.window(hypothesis.phase)
    return calls_per_request(arrivals.readings, records, window, hypothesis.at)


def _watchdog_named(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return readings.watchdog_named(arrivals.readings, arrivals.window(hypothesis.phase))


def _command_seconds(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return readings.command_seconds(arrivals.readings, hypothesis.command, hypothesis.exits)


def _share_within(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    limit_s = (hypothesis.within_ms or 0.0) / 1000
    return _share_where(hypothesis, arrivals, lambda record: record.is_within(limit_s))


def _in_time(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return _share_where(hypothesis, arrivals, lambda record: record.is_within(arrivals.budget_s))


def _degraded(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return _share_where(hypothesis, arrivals, lambda record: bool(record.degraded))


def _rejected_share(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return _share_where(hypothesis, arrivals, _is_rejected)


def _rejected_count(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return _count_where(hypothesis, arrivals, _is_rejected)


def _failed_share(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return _share_where(hypothesis, arrivals, _is_failed)


def _failed_count(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return _count_where(hypothesis, arrivals, _is_failed)


def _admitted_of_quota(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    if not arrivals.capacity_rps:
        return NOTHING_SEEN
    records = arrivals.of(hypothesis.phase, hypothesis.route)
    return admitted_of_quota(records, arrivals.window(hypothesis.phase), arrivals.capacity_rps)


def _error_count(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return error_count(arrivals.of(hypothesis.phase, hypothesis.route))


def _acknowledged_lost(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return acknowledged_lost(arrivals.readings.written)


def _first_local_write_s(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return first_local_write_s(arrivals.readings.written)


def _last_cut_off_write_s(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return last_cut_off_write_s(arrivals.readings.written)


def _writes_of_steady(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    if not (arrivals.has(hypothesis.phase) and arrivals.has(STEADY)):
        return NOTHING_SEEN
    window, steady = arrivals.window(hypothesis.phase), arrivals.window(STEADY)
    return writes_of_steady(arrivals.readings.written, window, steady)


def _moved_of_gained(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return moved_of_gained(arrivals.readings.grown)


def _recovery(hypothesis: Hypothesis, arrivals: Arrivals) -> Observation:
    return seconds_to_recover(arrivals)


def _is_rejected(record: Record) -> bool:
    return record.status in REJECTIONS


def _is_failed(record: Record) -> bool:
    return record.is_sent and not record.is_success


METRICS: Mapping[str, Callable[[Hypothesis, Arrivals], Observation]] = {
    "goodput_rps": _goodput_rps,
    "goodput_of_capacity": _goodput_of_capacity,
    "goodput_of_steady": _goodput_of_steady,
    "goodput_of_offered": _goodput_of_offered,
    "in_time_share": _in_time,
    "share_within": _share_within,
    "degraded_share": _degraded,
    "rejected_share": _rejected_share,
    "rejected_count": _rejected_count,
    "failed_share": _failed_share,
    "failed_count": _failed_count,
    "admitted_of_quota": _admitted_of_quota,
    "error_count": _error_count,
    "seconds_to_recover": _recovery,
    "jain_index": _jain_index,
    "wasted_share": _wasted_share,
    "origin_calls": _origin_calls,
    "calls_per_request": _calls_per_request,
    "share_of_calls": _share_of_calls,
    "node_share": _node_share,
    "watchdog_named": _watchdog_named,
    "command_seconds": _command_seconds,
    "acknowledged_lost": _acknowledged_lost,
    "first_local_write_s": _first_local_write_s,
    "last_cut_off_write_s": _last_cut_off_write_s,
    "writes_of_steady": _writes_of_steady,
    "moved_of_gained": _moved_of_gained,
}
"""By name; ``failed`` counts every sent arrival without a 2xx, rejections included."""
