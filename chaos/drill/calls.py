"""Where calls go: how many a service gets for each request, and which share one replica. Pure.

    calls received by all replicas of a service / requests sent, in the same phase

1 where the service is asked once a request; three tiers of three tries each make it 27.
Source: SRE Book, ch. 22, "Retries"; AWS, DynamoDB's event of 2015-09-20.
Not handled: what a process counted after it was last asked and before it was killed.
"""

from collections.abc import Sequence
from itertools import pairwise

from chaos.drill.observation import NOTHING_SEEN, Observation, batch_sd, share
from chaos.drill.readings import Answer, Readings, growth, number, totals
from chaos.drill.records import Record, Window


def calls_per_request(
    readings: Readings, records: Sequence[Record], window: Window, at: str
) -> Observation:
    """Return the calls that a service received for each request sent.

    Args:
        readings: What everybody counted.
        records: The phase's arrivals.
        window: The phase.
        at: The service.

    The deviation is that of the ratio over the seconds between two samples, and at least that of
    the independent requests: a share's, scaled by the ratio.
    """
    series = totals(readings.samples, answered, [at])
    sent_s = [record.sent_s for record in records if record.sent_s is not None]
    if not sent_s or len(series) < 2:
        return NOTHING_SEEN
    value = growth(series, window) / len(sent_s)
    calls, requests = [], []
    for (from_s, before), (to_s, after) in pairwise(series):
        if window.from_s <= from_s and to_s <= window.to_s:
            calls.append(after - before)
            requests.append(float(sum(from_s <= each < to_s for each in sent_s)))
    spread = batch_sd(calls, requests) if sum(requests) else 0.0
    least = value * (share(len(sent_s), len(sent_s)).sd or 0.0)
    return Observation(value, max(spread, least), len(sent_s))


def share_of_calls(readings: Readings, window: Window, at: str) -> Observation:
    """Return which share of a service's calls one of its replicas ended.

    Args:
        readings: What everybody counted.
        window: The phase.
        at: The replica, e.g. ``video.1``.

    The deviation is that of the ratio over the seconds between two samples, and at least a share's.
    """
    service = at.partition(".")[0]
    own = totals(readings.samples, answered, [at])
    every = totals(readings.samples, answered, [service])
    if len(every) < 2 or (calls := growth(every, window)) <= 0:
        return NOTHING_SEEN
    value = growth(own, window) / calls
    pairs = [
        (after[1] - before[1], after_all[1] - before_all[1])
        for (before, after), (before_all, after_all) in zip(
            pairwise(own), pairwise(every), strict=True
        )
        if window.from_s <= before[0] and after[0] <= window.to_s
    ]
    spread = batch_sd([one for one, _ in pairs], [all_ for _, all_ in pairs])
    return Observation(
        value, max(spread, share(round(value * calls), round(calls)).sd or 0.0), round(calls)
    )


def answered(answer: Answer) -> float:
    """Count the calls that a process ended, however they ended."""
    codes = answer.get("codes")
    return sum(number(codes, code) for code in codes) if isinstance(codes, dict) else 0.0
