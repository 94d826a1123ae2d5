"""Calls per request: how much load a service gets for each request at the front door. Pure.

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


def answered(answer: Answer) -> float:
    """Count the calls that a process ended, however they ended."""
    codes = answer.get("codes")
    return sum(number(codes, code) for code in codes) if isinstance(codes, dict) else 0.0
