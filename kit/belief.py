"""What a process believes of the control plane: which reading to take, when things expire.

Why: the control plane may die, come back with yesterday's data, or come back empty, and no switch
may flip for it. So a process doesn't copy what it reads; it decides:

- *adopt* a reading of a settled incarnation that isn't the one it has;
- *offer* its own snapshot to an incarnation that has not settled yet, and keep what it has;
- *keep* otherwise.

An incarnation is one life of the control server. It settles 3 s after somebody met it, on the
highest version offered by then (see ``kit.scripts``), and is believed from then on.

Expiry is by the process's own monotonic clock. Control's clock is used once, when an entry is first
seen, to find how much of its life is left; a jump of that clock later changes nothing.

A drill's overlay is the exception, since a drill may kill control, and its engine then can't renew:

- its lease doesn't run while control is away; it ends at an *answer* that comes after it ran out
  (the follower asks at that very moment, so with control alive it ends within milliseconds);
- when control is back, who believed it grants it ``RETURN_GRACE_S`` once per writing, and the
  engine writes it again in that time; a process that starts fresh judges by control's clock;
- without any answer for ``OVERLAY_ALONE_S`` it ends too.

So an engine that dies leaves nothing for longer than the lease and, had control been away as well,
the settling and the grace after control's return; and never longer than ``OVERLAY_ALONE_S``.

Source: design.md, "Control plane": fails static. Idea of the offer: Viewstamped Replication's view
change, without the quorum (a lab has one control server, and its clients are the replicas).
Not handled: two processes holding different entries under one version; a single writer script per
settled incarnation makes that impossible but for a process cut off during the whole settling.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from kit.entries import OVERLAY_FIELD, Entry, ttl_s
from kit.state import LabState

# The engine tries to write each 0.1 s while control settles (kit.control), so 2 s is plenty; with
# the 3 s of settling it is what drills.md R8 allows after the engine's death: 5 s.
RETURN_GRACE_S = 2.0
OVERLAY_ALONE_S = 90.0  # drills.md R1: no drill takes longer than 90 s


class Stored(NamedTuple):
    """An entry and when it was written, in milliseconds of control's clock."""

    entry: Entry
    written_ms: int


class Reading(NamedTuple):
    """One answer of the control plane.

    Args:
        incarnation: Which life of the server answered.
        settled: Whether that incarnation is to be believed.
        version: Of the state.
        now_ms: Control's clock.
        entries: By field; None when they are what the reader said it has.
    """

    incarnation: str
    settled: bool
    version: int
    now_ms: int
    entries: Mapping[str, Stored] | None


class Decision(Enum):
    """What to do with a reading."""

    KEEP = "keep"
    ADOPT = "adopt"
    OFFER = "offer"


class _Held(NamedTuple):
    entry: Entry
    written_ms: int
    expires_s: float | None


class Belief:
    """The last snapshot believed and its expiries; nothing here waits or speaks.

    Invariant: entries change only by ``adopt``.
    """

    __slots__ = (
        "_alone_with",
        "_graced",
        "_heard_s",
        "_held",
        "_is_alone",
        "incarnation",
        "provisional",
        "version",
    )

    def __init__(self) -> None:
        self.incarnation = ""
        self.version = 0
        self.provisional = True  # nothing yet that another process should have to believe
        self._held: dict[str, _Held] = {}
        self._heard_s = 0.0  # the last answer that was to be believed
        self._is_alone = False
        self._alone_with: Entry | None = None  # the overlay that held when control went away
        self._graced: Entry | None = None  # the overlay that has had its grace

    def decide(self, reading: Reading) -> Decision:
        """Say what to do with a reading; changes nothing."""
        if not reading.settled:
            return Decision.ADOPT if self.provisional else Decision.OFFER
        same = (self.incarnation, self.version) == (reading.incarnation, reading.version)
        if same and not self.provisional:
            return Decision.KEEP
        return Decision.ADOPT

    def adopt(self, reading: Reading, now_s: float) -> None:
        """Take a reading as the truth; one without entries confirms those held."""
        if reading.entries is not None:
            self._held = {
                field: _Held(
                    stored.entry, stored.written_ms, self._expiry(field, stored, reading, now_s)
                )
                for field, stored in reading.entries.items()
            }
        self.incarnation = reading.incarnation
        self.version = reading.version
        self.provisional = not reading.settled
        self._hear(now_s)

    def confirm(self, now_s: float) -> bool:
        """Note that control says what is held already; True when an overlay ends by that."""
        was_there = self._lives(OVERLAY_FIELD, now_s)
        self._hear(now_s)
        return was_there and not self._lives(OVERLAY_FIELD, now_s)

    def lose(self, now_s: float) -> None:
        """Note that control is away, or not to be believed yet."""
        if not self._is_alone:
            self._is_alone = True
            lives = self._lives(OVERLAY_FIELD, now_s)
            self._alone_with = self._held[OVERLAY_FIELD].entry if lives else None

    def state_at(self, now_s: float) -> LabState:
        """Build the picture of this moment, without what has expired."""
        return LabState(
            self.version,
            {field: held.entry for field, held in self._held.items() if self._lives(field, now_s)},
        )

    def next_expiry_s(self, now_s: float) -> float | None:
        """Return when ``state_at`` changes, or would by an answer of control; None for never."""
        pending = [held.expires_s for held in self._held.values() if held.expires_s is not None]
        if OVERLAY_FIELD in self._held:
            pending.append(self._heard_s + OVERLAY_ALONE_S)
        return min((each for each in pending if each > now_s), default=None)

    def offer(self, now_s: float) -> dict[str, tuple[Entry, int]]:
        """Return what is still alive as entry and age in milliseconds, for a new incarnation."""
        offered = {}
        for field, held in self._held.items():
            lifetime_s = ttl_s(held.entry)
            if held.expires_s is None or lifetime_s is None:
                offered[field] = (held.entry, 0)
            elif self._lives(field, now_s):
                left_s = max(0.0, held.expires_s - now_s)
                offered[field] = (held.entry, max(0, round((lifetime_s - left_s) * 1000)))
        return offered

    def _lives(self, field: str, now_s: float) -> bool:
        held = self._held.get(field)
        if held is None:
            return False
        if held.expires_s is None:
            return True
        if field != OVERLAY_FIELD:
            return held.expires_s > now_s
        return held.expires_s > self._heard_s and now_s < self._heard_s + OVERLAY_ALONE_S

    def _hear(self, now_s: float) -> None:
        self._heard_s = now_s
        if not self._is_alone:
            return
        self._is_alone = False
        held = self._held.get(OVERLAY_FIELD)
        if held is None or held.expires_s is None:
            return
        if held.entry == self._alone_with and held.entry != self._graced:
            self._graced = held.entry
            expires_s = max(held.expires_s, now_s + RETURN_GRACE_S)
            self._held[OVERLAY_FIELD] = held._replace(expires_s=expires_s)

    def _expiry(self, field: str, stored: Stored, reading: Reading, now_s: float) -> float | None:
        lifetime_s = ttl_s(stored.entry)
        if lifetime_s is None:
            return None
        known = self._held.get(field)
        if known is not None and (known.written_ms, known.entry) == (
            stored.written_ms,
            stored.entry,
        ):
            return known.expires_s
        return now_s + lifetime_s - (reading.now_ms - stored.written_ms) / 1000.0
