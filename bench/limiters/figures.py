"""Figures: what a run's records say about its limiter. Pure arithmetic over what the client saw.

- *Goodput* of a phase: answers in time that were complete within it, over what the workers could
  do meanwhile. In time is counted from the scheduled time. All of the phase counts, its first
  second too.
- *Reacting, recovering*: the seconds from a phase's begin to the first moment from which the
  goodput of 2 s is within 5 % of the new steady mean: that of the windows in the phase's later
  half. Goodput here is of what was possible: answers in time over the lesser of arrivals and
  capacity, both within the window. Where a limiter serves nobody, 0 is what it settles at.
- *Inversion*: a ``critical`` request was refused, and a ``sheddable`` one that left within half a
  second after the client had that refusal was let in.
- *Fairness*: Jain's index over the tenants' answers in time at 10 C. Every tenant asks for at
  least its equal share there, so 1 means that all got the same; a limiter that knows no tenants
  serves them as they ask, which is 0.72 for 6 : 3 : 1. ``jain_of_asked`` holds the answered
  against the asked.

Source: Jain, Chiu, Hawe, "A Quantitative Measure of Fairness and Discrimination", DEC TR-301, 1984.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from bench.limiters.records import Record
from bench.limiters.trace import CAPACITY_RPS, RECOVERY, SLOW, STEP, Phase
from resilience.policy.contract import Criticality

WINDOW_S = 2.0  # the issue: "for 2 s"
TOLERANCE = 0.05  # "to within 5 % of the new steady mean"
MOVE_S = 0.1  # windows begin at multiples of this
INVERSION_S = 0.5  # half of what the gate promises: the way to the server takes some of it


class Figures(NamedTuple):
    """What one run showed; None where nothing was.

    Args:
        goodput: Share of the declared capacity at 10 C.
        goodput_slow: Share of what the slowed service can do.
        p99_s: Latency of the admitted at 10 C; those let in and cut at the deadline count with it.
        refused: Refusals at 10 C by criticality.
        critical_ratio: Share of ``critical`` requests answered in time at 10 C.
        inversions: Critical refused while sheddable admitted, in the whole trace.
        react_s: Seconds after the step.
        react_slow_s: Seconds after the dependency became slow.
        recover_s: Seconds after the end of all trouble.
        jain: Fairness among tenants at 10 C, by answers.
        jain_of_asked: The same, by answers over requests.
        broken: Requests without an answer, in the whole trace.
    """

    goodput: float
    goodput_slow: float
    p99_s: float | None
    refused: dict[str, int]
    critical_ratio: float
    inversions: int
    react_s: float | None
    react_slow_s: float | None
    recover_s: float | None
    jain: float | None
    jain_of_asked: float | None
    broken: int


def figures(records: Sequence[Record]) -> Figures:
    """Read all figures off a run's records."""
    step = [one for one in records if STEP.begin_s <= one.at_s < STEP.end_s]
    admitted_s = [one.latency_s for one in step if one.is_admitted and one.latency_s is not None]
    critical = [one for one in step if one.level == Criticality.CRITICAL]
    return Figures(
        goodput=goodput(records, STEP),
        goodput_slow=goodput(records, SLOW),
        p99_s=percentile(admitted_s, 0.99),
        refused=dict(Counter(one.level.name.lower() for one in step if one.is_refused)),
        critical_ratio=sum(one.is_good for one in critical) / len(critical) if critical else 0.0,
        inversions=inversions(records),
        react_s=settled_s(records, STEP),
        react_slow_s=settled_s(records, SLOW),
        recover_s=settled_s(records, RECOVERY),
        jain=jain(list(_by_tenant(step).values())),
        jain_of_asked=jain(_answered_of_asked(step)),
        broken=sum(one.status <= 0 for one in records),
    )


def goodput(records: Sequence[Record], phase: Phase) -> float:
    """Return answers in time within a phase over what its workers could do."""
    done_s = _done_s(records)
    count = bisect_left(done_s, phase.end_s) - bisect_left(done_s, phase.begin_s)
    return count / ((phase.end_s - phase.begin_s) * CAPACITY_RPS / phase.slowness)


def settled_s(records: Sequence[Record], phase: Phase) -> float | None:
    """Return when a phase's goodput became what it stays; None when it never did."""
    shares = _shares(records, phase)
    steady = shares[len(shares) // 2 :]
    mean = sum(steady) / len(steady)
    for move, share in enumerate(shares):
        if abs(share - mean) <= TOLERANCE * mean:
            return round(move * MOVE_S, 1)
    return None


def inversions(records: Sequence[Record]) -> int:
    """Count critical requests refused while less important ones were let in."""
    entered_s = sorted(
        one.sent_s
        for one in records
        if one.level == Criticality.SHEDDABLE and one.is_admitted and one.sent_s is not None
    )
    count = 0
    for one in records:
        if one.level == Criticality.CRITICAL and one.is_refused and one.done_s is not None:
            after = bisect_left(entered_s, one.done_s)
            count += after < len(entered_s) and entered_s[after] <= one.done_s + INVERSION_S
    return count


def jain(values: Sequence[float]) -> float | None:
    """Return Jain's index, 1/n..1; None when there is nothing to share."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else None


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the least value that the share of them does not exceed; exact."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None


def _shares(records: Sequence[Record], phase: Phase) -> list[float]:
    """Return the goodput of each window of the phase, of what was possible in it."""
    done_s = _done_s(records)
    at_s = [one.at_s for one in records]
    can_rps = CAPACITY_RPS / phase.slowness
    shares = []
    for move in range(round((phase.end_s - phase.begin_s - WINDOW_S) / MOVE_S) + 1):
        begin_s = phase.begin_s + move * MOVE_S
        end_s = begin_s + WINDOW_S
        answers = bisect_left(done_s, end_s) - bisect_left(done_s, begin_s)
        asked = bisect_left(at_s, end_s) - bisect_left(at_s, begin_s)
        shares.append(answers / max(1.0, min(asked, can_rps * WINDOW_S)))
    return shares


def _done_s(records: Sequence[Record]) -> list[float]:
    return sorted(one.done_s for one in records if one.is_good and one.done_s is not None)


def _by_tenant(records: Sequence[Record]) -> dict[str, int]:
    answers = {one.tenant: 0 for one in records}
    for one in records:
        answers[one.tenant] += one.is_good
    return answers


def _answered_of_asked(records: Sequence[Record]) -> list[float]:
    asked = Counter(one.tenant for one in records)
    return [answers / asked[tenant] for tenant, answers in _by_tenant(records).items()]
