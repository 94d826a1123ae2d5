"""What became of a drill's writes, as figures: lost, taken again, taken still. Pure.

Why a count: a promise is broken by one write, and counts don't care how fast the machine is.
Source: drills.md, rows 19 and 20, R3; who counts is ``shard.check.judge``.
"""

from chaos.drill.observation import NOTHING_SEEN, Observation, count
from chaos.drill.readings import Written

PROBE_SD_S = 0.05  # probes are 20 ms apart, and one may wait for its turn on a busy machine


def acknowledged_lost(written: Written | None) -> Observation:
    """Return how many acknowledged writes are gone; nothing where none was acknowledged."""
    if written is None or not written.acknowledged:
        return NOTHING_SEEN
    return count(written.lost)


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
