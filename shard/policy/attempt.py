"""What a client does after a command that got no plain answer: go elsewhere, try again, or stop.

Pure: an error text or a kind of failure goes in, a step comes out. The rules:

- A node's refusal (MOVED, ASK, TRYAGAIN, CLUSTERDOWN, LOADING, READONLY, MASTERDOWN, BUSY) means
  "not executed", so reads and writes alike may go on within their deadline.
- A failure before the command left is the same.
- A failure after it left: a read goes on; a write may have happened and stops as UNKNOWN.
- Any other error is the answer. A command that failed wasn't executed (REFUSED); a script that
  failed may have written before it did (UNKNOWN).

Source: Redis Cluster specification; redis-py and valkey-glide treat the same list so.
Not handled: whether a write is idempotent; its caller knows, and may repeat what is UNKNOWN.
"""

from enum import Enum
from random import Random
from typing import NamedTuple, TypeAlias

from shard.policy.durability import (
    NOT_REPLICATED,
    STORE_CONFLICT,
    STORE_ERROR,
    STORE_FULL,
    STORE_OVERLOADED,
    STORE_TIMEOUT,
    STORE_UNAVAILABLE,
    WriteStatus,
    status_of,
)
from shard.policy.redirect import Redirect, parse_redirect
from shard.policy.topology import Address

MAX_REDIRECTS = 16  # redis-py's RedisCluster.RedisClusterRequestTTL
FIRST_PAUSE_S = 0.010
LONGEST_PAUSE_S = 0.100  # a failover takes 1 to 2 s: ten looks a second find its end soon enough


class Failure(Enum):
    """Why a command has no reply at all; each says whether it may have been executed."""

    FULL = "full"  # too many commands in flight on the connection
    DOWN = "down"  # no connection to the node
    UNREPLICATED = "unreplicated"  # held back behind a WAIT that found no replica
    EXPIRED = "expired"  # the deadline passed before it was written
    OVERDUE = "overdue"  # the deadline passed after it was written
    LOST = "lost"  # the connection broke after it was written

    @property
    def sent(self) -> bool:
        """Whether the node may have got the command."""
        return self in (Failure.OVERDUE, Failure.LOST)


class Work(Enum):
    """What kind of command it was."""

    READ = "read"
    WRITE = "write"
    SCRIPT = "script"
    BLOCK = "block"  # a write that waits for something to take


class Reads(Enum):
    """Which of a shard's nodes may answer a read."""

    PRIMARY = "primary"
    REPLICA = "replica"  # a replica when one can, else the primary
    ANY = "any"  # any of them, by chance: the load is spread over all


class Again(NamedTuple):
    """Send it again after a pause; ask for the topology first when ``refresh``."""

    pause_s: float
    refresh: bool
    why: str


class Stop(NamedTuple):
    """Give the caller this result."""

    status: WriteStatus
    reason: str
    message: str


Step: TypeAlias = Redirect | Again | Stop

_REFRESH_AFTER = frozenset({"CLUSTERDOWN", "LOADING", "READONLY", "MASTERDOWN"})
_PAUSE_AFTER = frozenset({"TRYAGAIN", "BUSY"})
_NEVER_EXECUTED = {
    "OOM": STORE_FULL,
    "MISCONF": STORE_UNAVAILABLE,
    "NOREPLICAS": NOT_REPLICATED,
    "NOAUTH": STORE_ERROR,
    "CROSSSLOT": STORE_ERROR,
    "NOSCRIPT": STORE_ERROR,
    "EXECABORT": STORE_ERROR,
    "CONFLICT": STORE_CONFLICT,  # ours: EXEC found a watched key changed
}  # of a script too: checked before it runs, or before its first write


def is_refusal(error: str) -> bool:
    """Whether an error says by its kind that nothing was executed, of a script too."""
    kind = error.partition(" ")[0]
    return (
        kind in ("MOVED", "ASK")
        or kind in _REFRESH_AFTER
        or kind in _PAUSE_AFTER
        or kind in _NEVER_EXECUTED
    )


def after_error(error: str, asked: Address, work: Work, attempt: int, rng: Random) -> Step:
    """Decide after an error reply.

    Args:
        error: Its text, e.g. ``MOVED 3999 127.0.0.1:6381``.
        asked: The node that answered.
        work: What was asked of it.
        attempt: How many times the command was sent before, >= 0.
        rng: Spreads the pauses of clients that were refused together.
    """
    kind = error.partition(" ")[0]
    if attempt >= MAX_REDIRECTS and kind in ("MOVED", "ASK"):
        return Stop(WriteStatus.REFUSED, STORE_UNAVAILABLE, f"sent round {attempt} times: {error}")
    redirect = parse_redirect(error, asked)
    if redirect is not None:
        return redirect
    if kind == "UNBLOCKED" and work is Work.BLOCK:  # it waited, and took nothing
        return Again(pause_s(attempt, rng), True, kind)
    if kind in _REFRESH_AFTER or kind in _PAUSE_AFTER:
        return Again(pause_s(attempt, rng), kind in _REFRESH_AFTER, kind)
    if kind == "UNBLOCKED":  # a WAIT ended since the node was demoted
        return Stop(WriteStatus.UNKNOWN, STORE_UNAVAILABLE, error)
    if kind in _NEVER_EXECUTED:
        return Stop(WriteStatus.REFUSED, _NEVER_EXECUTED[kind], error)
    status = WriteStatus.UNKNOWN if work is Work.SCRIPT else WriteStatus.REFUSED
    return Stop(status, STORE_ERROR, error)


def after_failure(failure: Failure, work: Work, attempt: int, rng: Random) -> Again | Stop:
    """Decide after a command that got no reply; arguments as ``after_error``."""
    if failure in (Failure.EXPIRED, Failure.OVERDUE):
        status = WriteStatus.UNKNOWN if failure.sent else WriteStatus.REFUSED
        return Stop(status, STORE_TIMEOUT, "no reply before the deadline")
    if failure is Failure.UNREPLICATED:
        return Stop(WriteStatus.REFUSED, NOT_REPLICATED, "no replica follows the primary")
    if failure is Failure.FULL:
        return Stop(WriteStatus.REFUSED, STORE_OVERLOADED, "too many commands in flight")
    if failure is Failure.LOST and work is not Work.READ:
        return Stop(WriteStatus.UNKNOWN, STORE_UNAVAILABLE, "connection lost before the reply")
    return Again(pause_s(attempt, rng), True, failure.value)


def after_proof(replicas: object) -> Stop | None:
    """Decide on an executed REPLICATED write by its WAIT; None means acknowledged.

    Args:
        replicas: The count, an error reply, or the Failure that took its place.
    """
    if status_of(replicas) is WriteStatus.ACKNOWLEDGED:
        return None
    if replicas in (Failure.EXPIRED, Failure.OVERDUE):
        return Stop(WriteStatus.UNKNOWN, STORE_TIMEOUT, "executed; no proof before the deadline")
    if isinstance(replicas, int):
        return Stop(WriteStatus.UNKNOWN, NOT_REPLICATED, "executed; no replica confirmed in time")
    return Stop(WriteStatus.UNKNOWN, STORE_UNAVAILABLE, f"executed; proof failed: {replicas}")


def pause_s(attempt: int, rng: Random) -> float:
    """Return how long to wait before another try: doubling, capped, half of it random."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempt, 10))
    return longest * (0.5 + 0.5 * rng.random())
