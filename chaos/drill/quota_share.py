"""What a quota let in, and what broke meanwhile. Pure.

    admitted_of_quota = answered with success / (seconds x quota)

Unlike goodput it asks for no time: a quota promises how many pass, not how soon they are served. A
refusal (429) is the quota's own word and no error; an answer 5xx, or none at all, is one, whoever
is at fault.
Source: drills.md, row 8 ("admitted within 0.7-1.3x of quota, 0 errors from the limiter").
Not handled: costs other than one a request.
"""

import math
from collections.abc import Sequence
from statistics import stdev

from chaos.drill.observation import NOTHING_SEEN, Observation, count
from chaos.drill.records import Record, Window

FIRST_ERROR = 500  # RFC 9110, 15.6: from here on the server failed, not the client
NO_ANSWER = 0  # how records have a request that was sent and never answered


def admitted_of_quota(records: Sequence[Record], window: Window, quota_rps: float) -> Observation:
    """Return how many a second were let in and served, in quotas.

    Args:
        records: The window's arrivals.
        window: By when they were due.
        quota_rps: Declared, > 0.

    The deviation is that of one-second batches, and at least half of Poisson's: what is let in is
    paced by the quota, what asks for it is not.
    """
    if not records:
        return NOTHING_SEEN
    seconds = max(1, round(window.seconds))
    counts = [0] * seconds
    for record in records:
        if record.is_success:
            second = int((record.scheduled_s - window.from_s) / window.seconds * seconds)
            counts[min(second, seconds - 1)] += 1
    total = sum(counts)
    spread = stdev(counts) * math.sqrt(seconds) if seconds > 1 else 0.0
    scale = window.seconds * quota_rps
    return Observation(total / scale, max(spread, math.sqrt(total + 1) / 2) / scale, len(records))


def error_count(records: Sequence[Record]) -> Observation:
    """Return how many sent requests got an answer 5xx, or none."""
    return count(sum(record.is_sent and _is_error(record) for record in records))


def _is_error(record: Record) -> bool:
    return record.status == NO_ANSWER or record.status >= FIRST_ERROR
