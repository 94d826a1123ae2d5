"""What is switched, broken and set right now, as one value that a process asks by name.

Why: a process must be able to answer "is my limiter on?" in a dictionary look-up, with control
dead, in the middle of a drill. So everything about merging is here and pure: base entries, a
drill's overlay over them, defaults under them. Time is not: ``kit.belief`` leaves out what has
expired before it builds a ``LabState``.

Order, first answer wins: overlay (``video.2``, then ``video``, then ``*``, then its
``policy_default``), base entries (same order), the defaults of the lab.
Source: design.md, "Control plane" and "Faults, drills, verdicts"; drills.md R5.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from faults.rule import FaultRule
from kit.entries import (
    OVERLAY_FIELD,
    RESET_FIELD,
    ChoiceEntry,
    DrainEntry,
    EjectEntry,
    Entry,
    Overlay,
    PolicyEntry,
    ResetEntry,
    SettingEntry,
    StationEntry,
)
from resilience.policy.contract import Mode

# design.md, "Defaults in the lab": what protects without side effects is on, the rest decides and
# counts in shadow until somebody has seen its figures.
DEFAULT_MODES: Mapping[str, Mode] = {
    "deadline": Mode.ON,
    "limiter": Mode.ON,
    "drain": Mode.ON,
    "panic": Mode.ON,
    "outlier": Mode.ON,
    "checks": Mode.ON,
    # What was always there, and can be taken away to see what it is worth.
    "p2c": Mode.ON,  # off: round robin
    "static": Mode.ON,  # off: leases end by the own clock while control is away
    "cancellation": Mode.ON,  # off: work goes on for a caller who left
    "retry_budget": Mode.ON,  # off: every call may retry as often as it likes
    "cache": Mode.ON,  # off: video asks the store for everything
    "cache_ejection": Mode.ON,  # off: nobody stands in for a cache node that is dead
    "single_flight": Mode.ON,  # off: who misses the cache together asks the store each by himself
    "slow_clients": Mode.ON,  # off: a client may take as long as it likes to send a request
    "breaker": Mode.SHADOW,
    "retry": Mode.SHADOW,
    "hedge": Mode.SHADOW,
    "bulkhead": Mode.SHADOW,
    "criticality": Mode.SHADOW,
    "partitions": Mode.SHADOW,
    "fallback": Mode.SHADOW,
    "quota": Mode.SHADOW,
    "quota_local": Mode.ON,  # off: a quota whose store is away lets everybody in
    "local_cache": Mode.OFF,  # on: hot keys are read in the process, up to 0.5 s after a write
}
# l7 retries GET and HEAD: a killed gateway must not show (issue 2, lb).
DEFAULT_MODES_BY_SERVICE: Mapping[tuple[str, str], Mode] = {("retry", "l7"): Mode.ON}

STATION_WORKERS = 8  # issue 2, services: 8 workers x 5 ms, cv 0.25 in the lab
STATION_MEAN_S = 0.005
STATION_CV = 0.25
STATION_SERVICES = frozenset({"account", "video", "comment", "counter"})


class StationSetting(NamedTuple):
    """A station's figures.

    Args:
        workers: How many requests it serves at once; 0 means there is no station.
        mean_s: Mean service time in seconds.
        cv: Coefficient of variation of the service time; 0 means constant.
    """

    workers: int
    mean_s: float
    cv: float


NO_STATION = StationSetting(0, 0.0, 0.0)
DEFAULT_STATION = StationSetting(STATION_WORKERS, STATION_MEAN_S, STATION_CV)


class LabState:
    """An immutable picture of the control plane; all look-ups are O(1) in the lab's size.

    Args:
        version: Of the state this was built from; 0 before the first reading.
        entries: Everything that has not expired, by field.
    """

    __slots__ = ("_drains", "_entries", "_faults", "_overlay", "version")

    def __init__(self, version: int = 0, entries: Mapping[str, Entry] | None = None) -> None:
        self.version = version
        self._entries = dict(entries or {})
        overlay = self._entries.pop(OVERLAY_FIELD, None)
        self._overlay = overlay if isinstance(overlay, Overlay) else None
        own = [entry for entry in self._entries.values() if isinstance(entry, FaultRule)]
        self._faults = (*own, *(self._overlay.faults if self._overlay else ()))
        self._drains = self._drained_targets()

    def __repr__(self) -> str:
        arm = f", overlay {self._overlay.id}" if self._overlay else ""
        return f"<LabState version {self.version}, {len(self._entries)} entries{arm}>"

    @property
    def overlay(self) -> Overlay | None:
        """The drill's arm that holds now; None when no drill runs."""
        return self._overlay

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The base entries, without the overlay."""
        return self._entries

    @property
    def faults(self) -> Sequence[FaultRule]:
        """Every fault that lives now, the overlay's included."""
        return self._faults

    def mode(self, policy: str, service: str, replica: int) -> Mode:
        """Return a policy's switch; a policy that nobody named anywhere is off."""
        if self._overlay:
            for target in _targets(service, replica):
                mode = self._overlay.policies.get(target, {}).get(policy)
                if mode is not None:
                    return mode
            if self._overlay.policy_default is not None:
                return self._overlay.policy_default
        for target in _targets(service, replica):
            entry = self._entries.get(f"policy/{target}/{policy}")
            if isinstance(entry, PolicyEntry):
                return entry.mode
        return default_mode(policy, service)

    def faults_for(self, service: str, replica: int) -> Sequence[FaultRule]:
        """Return the faults meant for a replica."""
        targets = _targets(service, replica)
        return tuple(rule for rule in self._faults if rule.target in targets)

    def station(self, service: str, replica: int) -> StationSetting:
        """Return a replica's station; each figure from the most specific entry that has it."""
        default = DEFAULT_STATION if service in STATION_SERVICES else NO_STATION
        workers, mean_s, cv = default
        for entry in reversed(list(self._station_entries(service, replica))):
            workers = workers if entry.workers is None else entry.workers
            mean_s = mean_s if entry.mean_ms is None else entry.mean_ms / 1000.0
            cv = cv if entry.cv is None else entry.cv
        return StationSetting(workers, mean_s, cv)

    def setting(self, service: str, replica: int, name: str, default: float) -> float:
        """Return a number by name, or the default when nobody set it."""
        if self._overlay:
            for target in _targets(service, replica):
                value = self._overlay.settings.get(target, {}).get(name)
                if value is not None:
                    return value
        for target in _targets(service, replica):
            entry = self._entries.get(f"setting/{target}/{name}")
            if isinstance(entry, SettingEntry):
                return entry.value
        return default

    def choice(self, service: str, replica: int, name: str, default: str) -> str:
        """Return what was chosen by name, or the default when nobody chose.

        A drill's overlay states the whole policy set (R5): what it doesn't choose is the default.
        """
        if self._overlay:
            for target in _targets(service, replica):
                value = self._overlay.choices.get(target, {}).get(name)
                if value is not None:
                    return value
            if self._overlay.policy_default is not None:
                return default
        for target in _targets(service, replica):
            entry = self._entries.get(f"choice/{target}/{name}")
            if isinstance(entry, ChoiceEntry):
                return entry.value
        return default

    def is_drained(self, service: str, replica: int) -> bool:
        """Whether a replica is to get no new requests."""
        return any(target in self._drains for target in _targets(service, replica))

    def is_ejected(self, service: str, replica: int) -> bool:
        """Whether an operator told the balancers to leave a replica for a while."""
        return any(
            isinstance(self._entries.get(f"eject/{target}"), EjectEntry)
            for target in _targets(service, replica)
        )

    def reset_epoch(self) -> int:
        """Return a number whose every change means: forget what was learned, empty the queues."""
        entry = self._entries.get(RESET_FIELD)
        base = entry.epoch if isinstance(entry, ResetEntry) else 0
        return base + (self._overlay.reset_epoch if self._overlay else 0)

    def _station_entries(self, service: str, replica: int) -> Iterator[StationEntry]:
        targets = _targets(service, replica)
        if self._overlay:
            yield from (
                self._overlay.stations[target]
                for target in targets
                if target in self._overlay.stations
            )
        for target in targets:
            entry = self._entries.get(f"station/{target}")
            if isinstance(entry, StationEntry):
                yield entry

    def _drained_targets(self) -> frozenset[str]:
        own = {
            field.split("/", 1)[1]
            for field, entry in self._entries.items()
            if isinstance(entry, DrainEntry) and entry.drained
        }
        return frozenset(own.union(self._overlay.drains if self._overlay else ()))


def default_mode(policy: str, service: str) -> Mode:
    """Return a policy's switch before anybody touched it."""
    mode = DEFAULT_MODES_BY_SERVICE.get((policy, service))
    return mode if mode is not None else DEFAULT_MODES.get(policy, Mode.OFF)


def _targets(service: str, replica: int) -> tuple[str, str, str]:
    return f"{service}.{replica}", service, "*"
