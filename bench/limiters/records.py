"""Records: what became of each request of the trace, as its client saw it.

A refusal is a 503; an answer or a 504 was admitted. That is all Envoy and we both tell, so nothing
here asks a server's own books.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.limiters.trace import DEADLINE_S
from kit.errors import LabEnvironmentError
from resilience.policy.contract import Criticality

ANSWERED, REFUSED, LATE = 200, 503, 504
BROKEN = 0  # reset, refused or given up
UNSENT = -1


class Record(msgspec.Struct, array_like=True):
    """One request; all seconds count from the trace's begin.

    Args:
        at_s: When it was to leave.
        criticality: As a number.
        tenant: Whose it is.
        sent_s: When it left; None when it never did.
        done_s: When its answer was whole, or when it was given up.
        status: Of the answer; ``BROKEN`` or ``UNSENT`` without one.
    """

    at_s: float
    criticality: int
    tenant: str
    sent_s: float | None = None
    done_s: float | None = None
    status: int = BROKEN

    @property
    def level(self) -> Criticality:
        """Its importance."""
        return Criticality(self.criticality)

    @property
    def latency_s(self) -> float | None:
        """Seconds from the scheduled time to the end of the answer; None without one."""
        return None if self.done_s is None else self.done_s - self.at_s

    @property
    def is_good(self) -> bool:
        """Whether it was answered within the deadline, from the scheduled time."""
        latency_s = self.latency_s
        return self.status == ANSWERED and latency_s is not None and latency_s <= DEADLINE_S

    @property
    def is_refused(self) -> bool:
        """Whether somebody refused it before any work was done."""
        return self.status == REFUSED

    @property
    def is_admitted(self) -> bool:
        """Whether it was let in, in time or not."""
        return self.status in (ANSWERED, LATE)


def save(records: Sequence[Record], path: Path) -> None:
    """Write a run's records as JSON."""
    path.write_bytes(msgspec.json.encode(records))


def load(path: Path) -> tuple[Record, ...]:
    """Read what ``save`` wrote.

    Raises:
        LabEnvironmentError: There is no such file, or it is not whole.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Record, ...])
    except (OSError, msgspec.MsgspecError) as error:
        raise LabEnvironmentError(f"the client's records cannot be read: {error}") from error
