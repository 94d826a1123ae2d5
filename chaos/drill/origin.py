"""Origin calls: how often a service asked what its cache stands in front of. Pure.

Why a count: one miss is one question or one for every reader, and that is the whole of a stampede.
Counts don't care how fast the machine is.
Source: drills.md, row 16 and R3; the counter is ``origin_reads`` of ``services.read_through``.
Not handled: what a process counted after it was last asked and before it was killed.
"""

from collections.abc import Mapping

from chaos.drill.observation import NOTHING_SEEN, Observation, count
from chaos.drill.readings import Answer, Readings, growth, number, totals
from chaos.drill.records import Window


def origin_calls(readings: Readings, window: Window, at: str) -> Observation:
    """Return how many reads all replicas of a service sent to their origin in a phase.

    Args:
        readings: What everybody counted.
        window: The phase.
        at: The service.

    Nothing is seen where nobody of the service counts such reads. The deviation is Poisson's, which
    is too wide for expiries at a pace and right for readers who come by chance.
    """
    counts = [name for sample in readings.samples for name in _counting(sample.answers, at)]
    if not counts or len(readings.samples) < 2:
        return NOTHING_SEEN
    return count(round(growth(totals(readings.samples, reads, [at]), window)))


def reads(answer: Answer) -> float:
    """Count what a process asked of its origin, shared or not."""
    return number(answer.get("cache"), "origin_reads")


def _counting(answers: Mapping[str, Answer], at: str) -> list[str]:
    return [
        name
        for name, answer in answers.items()
        if at in (name, name.partition(".")[0]) and "cache" in answer
    ]
