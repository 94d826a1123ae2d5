"""Commands that wait at the node until there is something to take: BLPOP and its kin, XREAD BLOCK.

The command's own timeout decides, shortened where the caller's deadline comes first: so "nothing
came" is always the node's word, and never a guess about an element that may have been taken.
Source: valkey: BLPOP ("what is returned", timeout in seconds), XREAD (BLOCK in milliseconds).
Not handled: a client that dies while an element is on its way to it: it is lost, as with any client
(LMOVE to a list of one's own keeps it).
"""

import math
from collections.abc import Sequence

from resilience import context
from shard.operation import Operation
from shard.own import OwnConnection
from shard.policy.attempt import Work
from shard.policy.commands import find
from shard.policy.split import split
from shard.resp import Argument, pack
from shard.routing import as_bytes
from shard.runner import Runner

FOREVER_S = 1e8  # three years; event loops don't take an infinite timeout
GRACE_S = 1.0  # beyond the command's timeout, for its answer: the node timeout
LEAST_S = 0.001  # 0 would mean for ever
# Between the command's end and the caller's deadline: a node looks for who has waited long enough
# ten times a second (valkey: hz 10), and its answer has to come.
RESERVE_S = 0.2

_TIMEOUT_LAST = frozenset({b"BLPOP", b"BRPOP", b"BZPOPMAX", b"BZPOPMIN", b"BLMOVE", b"BRPOPLPUSH"})
_TIMEOUT_FIRST = frozenset({b"BLMPOP", b"BZMPOP"})


def blocking(
    command: Sequence[Argument],
    own: OwnConnection,
    runner: Runner,
    deadline_s: float | None,
) -> Operation:
    """Make the operation of a command that waits.

    Raises:
        CrossSlotError: Its keys have several slots.
        ValueError: It isn't one, or has no timeout.
    """
    words = [as_bytes(each) for each in command]
    known = find(words[0]) if words else None
    place = _timeout_at(words)
    if known is None or place is None:
        raise ValueError(f"{command!r:.80} doesn't wait: use read or write")
    (part,) = split(known, words)
    unit_s = 1e-3 if known.after else 1.0
    wanted_s, now_s = _seconds(words[place]) * unit_s or FOREVER_S, runner.clock()
    latest_s = _latest(deadline_s)
    left_s = FOREVER_S if latest_s is None else latest_s - now_s - RESERVE_S
    wait_s = max(LEAST_S, min(wanted_s, left_s))
    if wait_s < FOREVER_S:
        words[place] = b"%d" % math.ceil(wait_s * 1e3) if known.after else b"%.3f" % wait_s
    until_s = now_s + wait_s + (GRACE_S if latest_s is None else RESERVE_S)
    work = Work.READ if known.work is Work.READ else Work.BLOCK
    return Operation(work, part.slot, pack(tuple(words)), until_s, own=own)


def _latest(deadline_s: float | None) -> float | None:
    current = context.current()
    if deadline_s is None and current is not None:
        return current.deadline_s
    return deadline_s


def _timeout_at(words: Sequence[bytes]) -> int | None:
    """Return which word is the timeout; None when nothing waits."""
    name = words[0].upper() if words else b""
    if name in _TIMEOUT_LAST:
        return len(words) - 1
    if name in _TIMEOUT_FIRST:
        return 1
    if name in (b"XREAD", b"XREADGROUP"):
        options = [word.upper() for word in words]
        end = options.index(b"STREAMS") if b"STREAMS" in options else len(options)
        return options.index(b"BLOCK", 0, end) + 1 if b"BLOCK" in options[:end] else None
    return None


def _seconds(word: bytes) -> float:
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0 <= value < FOREVER_S:
        raise ValueError(f"{word[:32]!r} is no timeout: give seconds >= 0 (XREAD: milliseconds)")
    return value
