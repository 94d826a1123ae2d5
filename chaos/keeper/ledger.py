"""The list of what must be undone: which faults stand, until when, and what was there before.

Why: whoever began a fault may be killed, and so may whoever holds this list; so it is a value that
can be written to disk before anything is touched, and read by the next holder. Two faults may
stand on one instance (a limit and a freeze, two limits), and they may end in any order. So nothing
is restored "as it was when this fault began": what an instance should be is worked out from the
faults that still stand on it and from how it was before the first of them.
Source: design.md, "One topology, two ways to run it" (the keeper); the leases of Chubby (Burrows,
OSDI 2006, 2.8): an absolute end on the holder's clock, moved by each renewal.
Not handled: faults on one instance begun by two keepers (a lock on disk sees to one).

Times are seconds of a clock that all processes of a machine share and that restarts when it boots
(CLOCK_MONOTONIC): an entry from the future is one from before a reboot, and overdue.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from chaos.drivers.host_fault import HostFault, HostProof
from chaos.keeper.look import Look, is_hit, tell
from kit.errors import ConfigError

REMEMBERED_S = 600.0  # "of the last minutes": long enough for a report to ask
REMEMBERED_COUNT = 200  # a soak of drills must not let the list grow

HOLDS_DOWN = frozenset({"kill", "stop"})


@dataclass(slots=True)
class Entry:
    """One fault and what is known of it.

    Args:
        fault: What was asked for.
        instances: What its target meant when it began.
        begun_s: When it began.
        lease_until_s: When it is undone unless it is renewed.
        is_renewed: Whether its lease is shorter than its time to live.
        before: Each instance just before it began.
        seen: Each instance at the last look.
        seen_s: When that was.
        hits: Instances that were seen to be affected.
        over_s: When everything was undone; None while it stands.
        note: What went wrong, or who ended it; "" when nothing is to be said.
    """

    fault: HostFault
    instances: tuple[str, ...]
    begun_s: float
    lease_until_s: float
    is_renewed: bool
    before: dict[str, Look]
    seen: dict[str, Look] = field(default_factory=dict)
    seen_s: float = 0.0
    hits: list[str] = field(default_factory=list)
    over_s: float | None = None
    note: str = ""

    @property
    def due_s(self) -> float:
        """When it must be undone, at the latest."""
        return min(self.lease_until_s, self.begun_s + self.fault.ttl_s)

    def proof(self, now_s: float) -> HostProof:
        """Return what is known of it."""
        end_s = now_s if self.over_s is None else self.over_s
        told = [
            f"{name} {tell(self.fault.kind, self.before[name], look, self.seen_s - self.begun_s)}"
            for name, look in self.seen.items()
        ]
        return HostProof(
            id=self.fault.id,
            kind=self.fault.kind,
            target=self.fault.target,
            instances=self.instances,
            hits=len(self.hits),
            seconds=round(max(0.0, end_s - self.begun_s), 3),
            detail="; ".join([*told, *([self.note] if self.note else [])]),
            is_over=self.over_s is not None,
            params=self.fault.params,
            left_s=0.0 if self.over_s is not None else round(max(0.0, self.due_s - now_s), 3),
            is_renewed=self.is_renewed,
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an instance should be while some faults stand on it.

    Args:
        is_up: Whether it should live.
        is_paused: Whether it should be frozen.
        cores: Its CPU limit; None for the one it had.
        memory_mb: Its memory limit; None for the one it had.
        isolated_s: When a cut ends by itself at the latest; None for no cut.
    """

    is_up: bool
    is_paused: bool
    cores: float | None
    memory_mb: float | None
    isolated_s: float | None = None


@dataclass(slots=True)
class Ledger:
    """Every fault that stands, those of the last minutes, and how instances were before.

    Invariant: an instance has a baseline exactly while a fault stands on it.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    baselines: dict[str, Look] = field(default_factory=dict)

    def check_new(self, fault: HostFault) -> None:
        """Refuse an id that is known already.

        Raises:
            ConfigError: It is; proof would be mixed up.
        """
        if fault.id in self.entries:
            raise ConfigError(f"a host fault with the id {fault.id!r} exists already: take another")

    def add(
        self, fault: HostFault, looks: Mapping[str, Look], lease_s: float, now_s: float
    ) -> Entry:
        """Write down a fault that is about to begin.

        Args:
            fault: Checked; its id is new.
            looks: Every instance that its target means, as it is now.
            lease_s: Until it must be renewed.
            now_s: The machine's clock.
        """
        self.check_new(fault)
        for name, look in looks.items():
            self.baselines.setdefault(name, look)
        entry = Entry(
            fault,
            tuple(looks),
            begun_s=now_s,
            lease_until_s=now_s + lease_s,
            is_renewed=lease_s < fault.ttl_s,
            before=dict(looks),
        )
        self.entries[fault.id] = entry
        return entry

    def renew(self, fault_ids: Iterable[str], lease_s: float, now_s: float) -> None:
        """Move the ends of leases; never backwards, and not of what is over or unknown."""
        for fault_id in fault_ids:
            entry = self.entries.get(fault_id)
            if entry is not None and entry.over_s is None:
                entry.lease_until_s = max(entry.lease_until_s, now_s + lease_s)

    def standing(self) -> list[Entry]:
        """Return the faults that are not undone yet, oldest first."""
        return [entry for entry in self.entries.values() if entry.over_s is None]

    def due(self, now_s: float) -> list[Entry]:
        """Return those that must be undone now; one from the future is from before a reboot."""
        return [entry for entry in self.standing() if entry.due_s <= now_s or entry.begun_s > now_s]

    def next_due_s(self, *, besides: Container[str] = ()) -> float | None:
        """Return when the next fault must be undone, None when none stands.

        Args:
            besides: Ids of faults that are being undone already.
        """
        others = (entry for entry in self.standing() if entry.fault.id not in besides)
        return min((entry.due_s for entry in others), default=None)

    def observe(self, entry: Entry, looks: Mapping[str, Look], now_s: float) -> None:
        """Take a look while a fault acts; a hit once seen stays."""
        entry.seen.update(looks)
        entry.seen_s = now_s
        for name, look in looks.items():
            if name not in entry.hits and is_hit(entry.fault.kind, entry.before[name], look):
                entry.hits.append(name)

    def wanted(self, instance: str, *, without: Container[str] = ()) -> Wanted:
        """Work out what an instance should be.

        Args:
            instance: One that has a baseline.
            without: Ids of faults that are being undone.
        """
        faults = [
            entry.fault
            for entry in self.standing()
            if instance in entry.instances and entry.fault.id not in without
        ]
        kinds = {fault.kind for fault in faults}
        baseline = self.baselines[instance]
        return Wanted(
            is_up=baseline.is_up and not kinds & HOLDS_DOWN,
            is_paused=baseline.state == "paused" or "pause" in kinds,
            cores=min((f.params["cores"] for f in faults if f.kind == "cpu"), default=None),
            memory_mb=min((f.params["mb"] for f in faults if f.kind == "memory"), default=None),
            isolated_s=max((f.ttl_s for f in faults if f.kind == "isolate"), default=None),
        )

    def close(self, entry: Entry, now_s: float, note: str = "") -> None:
        """Write down that a fault is undone, and forget what nothing needs any more."""
        entry.over_s = now_s
        entry.note = note
        needed = {name for other in self.standing() for name in other.instances}
        self.baselines = {name: look for name, look in self.baselines.items() if name in needed}
        self._prune(now_s)

    def _prune(self, now_s: float) -> None:
        over = [entry for entry in self.entries.values() if entry.over_s is not None]
        extra = len(over) - REMEMBERED_COUNT
        for place, entry in enumerate(over):
            assert entry.over_s is not None
            if place < extra or not now_s - REMEMBERED_S <= entry.over_s <= now_s:
                del self.entries[entry.fault.id]
