"""What became of a drill's writes, as figures: lost, kept up, taken again, taken still. Pure.

Why a count: a promise is broken by one write, and counts don't care how fast the machine is.
Source: drills.md, rows 19 to 21, R3; who counts is ``shard.check.judge``.
"""

import math
from collections.abc import Sequence

from chaos.drill.observation import NOTHING_SEEN, Observation, count, ratio
from chaos.drill.readings import Written
from chaos.drill.records import Window

PROBE_SD_S = 0.05  # probes are 20 ms apart, and one may wait for its turn on a busy machine


def acknowledged_lost(written: Written | None) -> Observation:
    """Return how many acknowledged writes are gone; nothing where none was acknowledged."""
    if written is None or not written.acknowledged:
        return NOTHING_SEEN
    return count(written.lost)


def writes_of_steady(written: Written | None, window: Window, steady: Window) -> Observation:
    """Return acknowledged writes a second in a window, over those in the steady phase.

    Writers begin them at a pace, so only how many are missing is by chance: a count.
    """
    if written is None:
        return NOTHING_SEEN
    inside = _rate(written.acknowledged_at_s, window)
    return ratio(inside, _rate(written.acknowledged_at_s, steady))


def _rate(at_s: Sequence[float], window: Window) -> Observation:
    hits = sum(1 for each in at_s if window.from_s <= each < window.to_s)
    return Observation(hits / window.seconds, math.sqrt(hits + 1) / window.seconds, hits)


def first_local_write_s(written: Written | None) -> Observation:
    """Return the seconds from a node's death to the first good LOCAL write to its shard."""
    if written is None or written.first_local_s is None:
        return NOTHING_SEEN
    return Observation(written.first_local_s, PROBE_SD_S, 1)


def last_cut_off_write_s(written: Written | None) -> Observation:
    """Return the seconds for which a primary that was cut off went on taking LOCAL writes."""
    if written is None or written.last_cut_off_s is None:
        return NOTHING_SEEN
    return Observation(written.last_cut_off_s, PROBE_SD_S, 1)
