"""What a write's result may say, and what it takes to say it.

LOCAL: the primary executed it. REPLICATED: a second node has it too, proven by WAIT on the same
connection. A result is ACKNOWLEDGED (it happened, as durable as asked), REFUSED (not executed: safe
to try again) or UNKNOWN (it may have happened). UNKNOWN is never rounded to either side.

``ReplicaWatch`` keeps a REPLICATED write from being executed where it can't be proven: after a WAIT
that returned 0 the node's writes are refused beforehand, until a probe, one WAIT without a write,
returns 1 again. Without it every write of a shard whose second node is dead would block for the
whole WAIT and end UNKNOWN, though everybody knows the outcome.
Source: valkey WAIT: "the number of replicas that processed all the writes of this connection".
Not handled: more than one replica; WAITAOF (a copy in two memories is the promise, not on disk).
"""

from enum import Enum

DEFAULT_PROBE_INTERVAL_S = 0.5  # a returned replica is noticed within half a second
REPLICAS_NEEDED = 1

STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
STORE_TIMEOUT = "STORE_TIMEOUT"
STORE_OVERLOADED = "STORE_OVERLOADED"
STORE_FULL = "STORE_FULL"
STORE_ERROR = "STORE_ERROR"
STORE_CONFLICT = "STORE_CONFLICT"
NOT_REPLICATED = "NOT_REPLICATED"


class Durability(Enum):
    """How many nodes must have a write before it counts as done."""

    LOCAL = "local"
    REPLICATED = "replicated"


class WriteStatus(Enum):
    """What is known of a write."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


def status_of(replicas: object) -> WriteStatus:
    """Judge an executed REPLICATED write by the reply of its WAIT.

    Anything but a count (an error since the node was demoted, a lost connection) proves nothing.
    """
    proven = isinstance(replicas, int) and replicas >= REPLICAS_NEEDED
    return WriteStatus.ACKNOWLEDGED if proven else WriteStatus.UNKNOWN


class ReplicaWatch:
    """Whether REPLICATED writes of one connection can be proven, as far as is known.

    Args:
        probe_interval_s: Least time between two probes, seconds, > 0.

    Invariant: it refuses only after evidence (a WAIT that didn't reach 1), never by suspicion.
    """

    __slots__ = ("_is_replicated", "_next_probe_s", "probe_interval_s", "refused")

    def __init__(self, probe_interval_s: float = DEFAULT_PROBE_INTERVAL_S) -> None:
        self.probe_interval_s = probe_interval_s
        self.refused = 0
        self._is_replicated = True
        self._next_probe_s = 0.0

    @property
    def is_replicated(self) -> bool:
        """False once a WAIT has shown that no replica follows."""
        return self._is_replicated

    def may_probe(self, now_s: float) -> bool:
        """Take the right to probe now; at most one per interval, and none while all is well."""
        if self._is_replicated or now_s < self._next_probe_s:
            return False
        self._next_probe_s = now_s + self.probe_interval_s
        return True

    def on_count(self, replicas: object, now_s: float) -> None:
        """Learn from the reply of any WAIT; what isn't a count teaches nothing."""
        if not isinstance(replicas, int):
            return
        was_replicated = self._is_replicated
        self._is_replicated = replicas >= REPLICAS_NEEDED
        if was_replicated and not self._is_replicated:
            self._next_probe_s = now_s + self.probe_interval_s

    def on_demoted(self) -> None:
        """Learn that WAIT was answered by an error: the node is a primary no more.

        What was known of it as one is void. A write sent there is refused with MOVED and so finds
        the new primary; one held back here never would.
        """
        self._is_replicated = True
