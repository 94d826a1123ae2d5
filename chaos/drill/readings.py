"""What the lab told of itself during an arm, second by second, and the figures made of it. Pure.

Counters are of a process: one that is started anew counts from zero, one that is killed or paused
says nothing. So a counter's running total goes on where the last life left it, and stands still
while nobody answers; what a life counted after it was last asked is lost with it (a second's worth
at most).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import stdev
from typing import Any, NamedTuple

from chaos.drill.observation import NOTHING_SEEN, Observation, batch_sd, share
from chaos.drill.records import Window

RESTART_SLACK_S = 1.5  # an answer may come a second late (the ask's limit), and its age with it
LATE_WORD_S = 2.0  # a loop tells of its last block when it runs again, and is asked each second
MIN_COMMAND_SD_S = 0.1  # a process starts in 0.3 s on an idle machine, and never twice the same
EDGE_SD = math.sqrt(1 / 6)  # a paced event may fall on either side of both edges of a phase:
# two uniform halves, each of variance 1/12
UNNAMED = "?"  # the watchdog's word for a block in which no other thread could look

Answer = Mapping[str, Any]


class Sample(NamedTuple):
    """Everybody's ``stats`` at a moment.

    Args:
        at_s: Seconds since the run's start.
        answers: By instance; without those who stayed silent.
    """

    at_s: float
    answers: Mapping[str, Answer]


class CommandRun(NamedTuple):
    """A `squall` command that a hypothesis asked for.

    Args:
        command: As the drill says it.
        seconds: From its start to its end.
        exit_code: Its word; None when it had to be ended.
        cpu_wait_s: Of the seconds, those in which it was ready to run and had no CPU; None where
            the kernel doesn't tell.
        began_s: Seconds since the run's start.
    """

    command: str
    seconds: float
    exit_code: int | None
    cpu_wait_s: float | None = None
    began_s: float = 0.0


class Written(NamedTuple):
    """What became of a drill's writes to the store.

    Args:
        acknowledged: How many were.
        lost: Of these, those that are gone in the end.
        first_local_s: From the kill of a node to the first LOCAL write begun after it that was
            acknowledged; None for never, or when nothing was killed.
        last_cut_off_s: From a primary's cut to the end of the last LOCAL write that it acknowledged
            while cut off, 0 for none; None when no node was cut off.
        acknowledged_at_s: When each acknowledged one began, on the run's clock.
    """

    acknowledged: int
    lost: int
    first_local_s: float | None
    last_cut_off_s: float | None = None
    acknowledged_at_s: Sequence[float] = ()


class Grown(NamedTuple):
    """What a store's growth came to in the fault phase.

    Args:
        moved: Slots that have another owner than before.
        gained: Of these, those of the new shard.
        kills: How often the mover was killed.
    """

    moved: int
    gained: int
    kills: int


@dataclass(frozen=True, slots=True)
class Readings:
    """What the lab told during an arm.

    Args:
        samples: In order.
        commands: In order.
        targets: Services and instances that the faults act on.
        written: What became of the drill's writes; None when that isn't known.
        grown: What the store's growth came to; None when that isn't known.
    """

    samples: Sequence[Sample] = ()
    commands: Sequence[CommandRun] = ()
    targets: Sequence[str] = ()
    written: Written | None = None
    grown: Grown | None = None


NOTHING_READ = Readings()


def totals(
    samples: Iterable[Sample], read: Callable[[Answer], float], of: Sequence[str] = ()
) -> list[tuple[float, float]]:
    """Return a counter's running total over everybody, one per sample.

    Args:
        samples: In order.
        read: The counter in one answer.
        of: Services and instances that count; none means everybody.
    """
    before: dict[str, float] = {}
    last: dict[str, tuple[float, float]] = {}
    series = []
    for at_s, answers in samples:
        for name, answer in answers.items():
            if of and not {name, name.partition(".")[0], "*"} & set(of):
                continue
            born_s, value = at_s - number(answer, "seconds"), read(answer)
            if name in last and _is_another_life(born_s, value, *last[name]):
                before[name] = before.get(name, 0.0) + last[name][1]
            last[name] = (born_s, value)
        total = sum(before.values()) + sum(value for _, value in last.values())
        series.append((at_s, total))
    return series


def steps(series: Sequence[tuple[float, float]], window: Window) -> list[float]:
    """Return by how much a running total grew, sample by sample within a window."""
    inner = [pair for pair in series if window.from_s - 0.5 <= pair[0] <= window.to_s + 0.5]
    return [after[1] - before[1] for before, after in pairwise(inner)]


def growth(series: Sequence[tuple[float, float]], window: Window) -> float:
    """Return by how much a running total grew in a window; between two samples it grows evenly."""
    return _at(series, window.to_s) - _at(series, window.from_s)


def _at(series: Sequence[tuple[float, float]], at_s: float) -> float:
    """Return a running total at a time; outside the samples, that of the nearest."""
    for (before_s, before), (after_s, after) in pairwise(series):
        if at_s < after_s:
            passed = max(0.0, at_s - before_s) / (after_s - before_s)
            return before + (after - before) * passed
    return series[-1][1] if series else 0.0


def wasted_share(readings: Readings, window: Window) -> Observation:
    """Return the share of all stations' time that was spent for callers who had left.

    Its deviation is that of one-second batches, and at least binomial over the requests served.
    """
    busy = steps(totals(readings.samples, station("busy_s")), window)
    wasted = steps(totals(readings.samples, station("wasted_s")), window)
    served = sum(steps(totals(readings.samples, station("arrived")), window))
    spent_s = sum(busy)
    if spent_s <= 0:
        return NOTHING_SEEN
    value = min(1.0, max(0.0, sum(wasted) / spent_s))
    requests = max(1, round(served))
    least = share(round(value * requests), requests).sd or 0.0
    return Observation(value, max(least, batch_sd(wasted, busy)), requests)


def watchdog_named(readings: Readings, window: Window) -> Observation:
    """Return how many blocks of the faults' targets were told with the function that blocked.

    Faults block at a pace, not by chance: the count is sure but for the edges of the phase.
    """
    series = totals(readings.samples, named_blocks, readings.targets)
    before = [value for at_s, value in series if at_s <= window.from_s + 0.5]
    until = [value for at_s, value in series if at_s <= window.to_s + LATE_WORD_S]
    if not until:
        return NOTHING_SEEN
    blocks = until[-1] - (before[-1] if before else 0.0)
    return Observation(blocks, EDGE_SD, round(blocks))


def command_seconds(readings: Readings, command: str, exits: int) -> Observation:
    """Return the slowest run of a command, when every run exited as it must; else nothing.

    The deviation is that of the runs, and at least what starting a process varies by.
    """
    runs = [run for run in readings.commands if run.command == command]
    if not runs or any(run.exit_code != exits for run in runs):
        return Observation(None, None, len(runs))
    seconds = [run.seconds for run in runs]
    spread = stdev(seconds) if len(seconds) > 1 else 0.0
    return Observation(max(seconds), max(MIN_COMMAND_SD_S, spread), len(runs))


def station(name: str) -> Callable[[Answer], float]:
    """Return what reads a counter of an answer's station."""
    return lambda answer: number(answer.get("station"), name)


def named_blocks(answer: Answer) -> float:
    """Count an answer's blocks of which the function is known."""
    loop = answer.get("loop")
    blocks = loop.get("blocks") if isinstance(loop, Mapping) else None
    if not isinstance(blocks, Mapping):
        return 0.0
    return sum(number(blocks, name) for name in blocks if name != UNNAMED)


def number(data: object, name: str) -> float:
    """Return a number of an answer; 0 when it isn't there or none."""
    value = data.get(name) if isinstance(data, Mapping) else None
    return float(value) if isinstance(value, int | float) else 0.0


def _is_another_life(born_s: float, value: float, last_born_s: float, last_value: float) -> bool:
    """Whether a process was started anew since it last answered: younger, or counting from less."""
    return value < last_value or born_s > last_born_s + RESTART_SLACK_S
