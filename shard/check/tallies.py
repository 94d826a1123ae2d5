"""Sets and counters: what was acknowledged is in there, and nothing that was refused.

A register shows only its last write; a set remembers each. A counter can't say which is missing,
but it shows a write that was executed twice.
"""

from collections.abc import Sequence

from shard.check.events import Final, Operation, Outcome
from shard.check.violation import Violation

LOST_ELEMENTS = "acknowledged elements are lost"
FOREIGN_ELEMENTS = "elements that nobody added"
REFUSED_ELEMENTS = "refused elements were added"
TOO_LOW = "the counter lost acknowledged counts"
TOO_HIGH = "the counter counted more than was asked"
SHOWN = 5


def judge_set(key: str, adds: Sequence[Operation], final: Final) -> list[Violation]:
    """Compare a set's elements with what was told; an element is added once."""
    there = set(final.value) if isinstance(final.value, tuple) else set()
    told = {each.value: each for each in adds}
    ok = [each for each in adds if each.outcome is Outcome.OK]
    lost = [each for each in ok if each.value not in there]
    refused = [each for each in adds if each.outcome is Outcome.REFUSED and each.value in there]
    foreign = sorted(there - told.keys())
    found: list[Violation] = []
    if lost:
        lines = (*(each.ended_line for each in lost), final.line)
        saw = f"{len(lost)} of them are missing: {_some([each.value for each in lost])}"
        said = f"{len(ok)} elements were acknowledged"
        found.append(Violation(LOST_ELEMENTS, key, said, saw, lines, len(lost)))
    if refused:
        lines = (*(each.ended_line for each in refused), final.line)
        saw = f"the set has {_some([each.value for each in refused])}"
        found.append(Violation(REFUSED_ELEMENTS, key, "they were refused", saw, lines))
    if foreign:
        said = f"{len(adds)} were attempted"
        saw = f"the set has {_some(foreign)}"
        found.append(Violation(FOREIGN_ELEMENTS, key, said, saw, (final.line,)))
    return found


def judge_counter(key: str, counts: Sequence[Operation], final: Final) -> list[Violation]:
    """Hold a counter between what was acknowledged and what may have been done."""
    value = final.value if isinstance(final.value, int) else 0
    ok = [each for each in counts if each.outcome is Outcome.OK]
    unknown = sum(1 for each in counts if each.outcome is Outcome.UNKNOWN)
    told = f"{len(ok)} acknowledged and {unknown} unknown"
    if value < len(ok):
        lines = (ok[-1].ended_line, final.line)
        lost = len(ok) - value
        return [Violation(TOO_LOW, key, told, f"in the end it is {value}", lines, lost)]
    if value > len(ok) + unknown:
        return [Violation(TOO_HIGH, key, told, f"in the end it is {value}", (final.line,))]
    return []


def _some(values: Sequence[int]) -> str:
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(map(str, values[:SHOWN])) + more
