"""An arm: one pass of a drill, with its whole policy set, its phases and its faults.

Pure: from a drill to what the control plane and the load generator are told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from chaos.drill.fault import Fault, names_in
from chaos.drill.records import Window
from chaos.drill.schema import (
    ENGINE_POLICIES,
    FAULT,
    RECOVER,
    STEADY,
    WARM,
    Ablation,
    Drill,
    LoadPhase,
    PolicySwitch,
    without,
)
from chaos.drivers.host_fault import HostFault
from resilience.policy.contract import Mode

MAIN, CONTROL = "main", "control"
EVERYWHERE = "*"
ABLATION_STEADY_S = 3.0  # enough to hold a rate against
FAULT_TTL_SLACK_S = 2.0  # the overlay's lease ends a fault; its own time is the second fuse


@dataclass(frozen=True, slots=True)
class Arm:
    """One pass.

    Args:
        name: ``main``, ``control`` or ``without <policy>``.
        policies: The whole set; what isn't named is off.
        phases: In order.
        off: What is off here and on in the main arm.
    """

    name: str
    policies: Mapping[str, PolicySwitch]
    phases: Sequence[LoadPhase]
    off: Sequence[str] = ()

    @property
    def seconds(self) -> float:
        """How long its schedule is."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def windows(self) -> dict[str, Window]:
        """When each phase begins and ends."""
        windows: dict[str, Window] = {}
        start_s = 0.0
        for phase in self.phases:
            windows[phase.name] = Window(start_s, start_s + phase.seconds)
            start_s += phase.seconds
        return windows

    def phase_at(self, at_s: float) -> str:
        """Name the phase of a moment; "" outside of the schedule."""
        for name, window in self.windows.items():
            if window.from_s <= at_s < window.to_s:
                return name
        return ""


def main_arm(drill: Drill) -> Arm:
    """Return the arm in which everything must hold."""
    return Arm(MAIN, drill.policies, drill.load.phases)


def control_arm(drill: Drill) -> Arm:
    """Return the same without the protection."""
    return Arm(CONTROL, drill.control_policies(), drill.load.phases, drill.control.off)


def ablation_arms(drill: Drill) -> list[Arm]:
    """Return the short arms that a drill asks for: each of ``control.off`` off alone."""
    ablation = drill.control.ablation
    return [] if ablation is None else _arms_without(drill, [[n] for n in drill.control.off])


def full_ablation_arms(drill: Drill) -> list[Arm]:
    """Return short arms with each protection of the main arm off alone, and one with all off."""
    on = [name for name, switch in drill.policies.items() if _is_on(switch)]
    return _arms_without(drill, [*([name] for name in on), on] if len(on) > 1 else [on])


def _arms_without(drill: Drill, sets: Sequence[Sequence[str]]) -> list[Arm]:
    phases = _short_phases(drill)
    return [
        Arm(
            f"without {off[0] if len(off) == 1 else 'any of them'}",
            without(drill.policies, off),
            phases,
            off,
        )
        for off in sets
    ]


def _short_phases(drill: Drill) -> list[LoadPhase]:
    """Return the phases that the hypotheses need, as short as they allow.

    What is said of a phase's last seconds needs the whole phase: it is about what comes after.
    """
    ablation = drill.control.ablation or Ablation()
    needed = {h.phase for h in drill.hypotheses if h.metric not in ("seconds_to_recover",)}
    is_late = {h.phase for h in drill.hypotheses if h.last_s is not None}
    lengths = {WARM: ablation.warm_seconds, FAULT: ablation.fault_seconds}
    if any(h.metric == "goodput_of_steady" for h in drill.hypotheses):
        lengths[STEADY] = ABLATION_STEADY_S
    if RECOVER in needed:
        lengths[RECOVER] = ablation.fault_seconds
    return [
        LoadPhase(
            name=p.name,
            seconds=p.seconds if p.name in is_late else min(p.seconds, lengths[p.name]),
            rates=p.rates,
        )
        for p in drill.load.phases
        if p.name in lengths or p.name in is_late
    ]


def _is_on(switch: PolicySwitch) -> bool:
    modes = switch.values() if isinstance(switch, dict) else [switch]
    return Mode.ON in modes


@dataclass(frozen=True, slots=True)
class FaultWindow:
    """A fault in an arm.

    Args:
        id: What its proof is counted under.
        fault: As the drill says it.
        window: When it acts, in seconds since the run's start: as planned, or as it was.
        target: What it acts on; a shard's role is looked up when the fault begins.
    """

    id: str
    fault: Fault
    window: Window
    target: str

    @property
    def ttl_s(self) -> float:
        """Its second fuse; the first is the lease of whoever holds it."""
        return self.window.seconds + FAULT_TTL_SLACK_S

    @property
    def rule(self) -> dict[str, Any]:
        """It as the control plane takes it; not for faults of the host."""
        return {
            "id": self.id,
            "kind": self.fault.rule_kind,
            "target": self.target,
            "params": self.fault.params(),
            "route": self.fault.route,
            "tenant": self.fault.tenant,
            "share": self.fault.share,
            "ttl_s": self.ttl_s,
        }

    def host_fault(self, driver_id: str) -> HostFault:
        """Return it as a driver takes it; only for faults of the host.

        Args:
            driver_id: One that no fault of the last minutes had, since drivers remember them.
        """
        numbers = {k: float(v) for k, v in self.fault.params().items()}
        return HostFault(driver_id, self.fault.kind, self.target, self.ttl_s, numbers)

    @property
    def names(self) -> list[str]:
        """The services and instances that it acts on."""
        return names_in(self.target)

    def describe(self) -> str:
        """Say it in words."""
        return self.fault.describe(self.target)


def fault_windows(drill: Drill, arm: Arm) -> list[FaultWindow]:
    """Return an arm's faults, cut to the length of its fault phase."""
    phase = arm.windows[FAULT]
    windows = []
    for index, fault in enumerate(drill.faults):
        from_s = phase.from_s + fault.at
        to_s = min(phase.to_s, phase.from_s + fault.ends_at_s(phase.seconds))
        if to_s > from_s:
            name = f"{drill.drill}-{index + 1}"
            windows.append(FaultWindow(name, fault, Window(from_s, to_s), fault.on))
    return windows


def overlay(
    drill: Drill, arm: Arm, *, holder: str, epoch: int, faults: Sequence[FaultWindow] = ()
) -> dict[str, Any]:
    """Return what an arm wants of every process, wholly.

    Args:
        drill: Stations, settings, choices and drains are the same in every arm.
        arm: Its policies.
        holder: Who asks, for people.
        epoch: Another one empties queues and makes policies forget.
        faults: Those of processes and links that act now.
    """
    return {
        "id": f"{drill.drill}/{arm.name}",
        "holder": holder,
        "policies": switch_positions(without_engines(arm.policies)),
        "policy_default": Mode.OFF.value,
        "stations": {
            target: {"workers": s.workers, "mean_ms": s.mean_ms, "cv": s.cv}
            for target, s in drill.setup.stations.items()
        },
        "settings": {target: dict(s) for target, s in drill.setup.settings.items()},
        "choices": {target: dict(c) for target, c in drill.setup.choices.items()},
        "drains": list(drill.setup.drains),
        "faults": [fault.rule for fault in faults],
        "reset_epoch": epoch,
    }


def without_engines(policies: Mapping[str, PolicySwitch]) -> dict[str, PolicySwitch]:
    """Return a policy set as processes know it."""
    return {name: switch for name, switch in policies.items() if name not in ENGINE_POLICIES}


def switch_positions(policies: Mapping[str, PolicySwitch]) -> dict[str, dict[str, str]]:
    """Turn a policy set into positions by target."""
    positions: dict[str, dict[str, str]] = {}
    for name, switch in policies.items():
        by_target = switch if isinstance(switch, dict) else {EVERYWHERE: switch}
        for target, mode in by_target.items():
            positions.setdefault(target, {})[name] = mode.value
    return positions


def load_plan(drill: Drill, arm: Arm, *, seed: int, run_id: str, parent_pid: int) -> dict[str, Any]:
    """Return the plan file of an arm, as ``loadtests/plan.py`` reads it."""
    load = drill.load
    return {
        "schema": "squall.plan/1",
        "phases": [
            {"name": p.name, "seconds": p.seconds, "rates": dict(p.rates)} for p in arm.phases
        ],
        "classes": {name: msgspec.to_builtins(each) for name, each in load.classes.items()},
        "gaps": load.gaps,
        "seed": seed,
        "zipf": load.zipf,
        "videos": load.videos,
        "budget_s": load.budget_ms / 1000,
        "give_up_s": load.give_up_s,
        "max_in_flight": load.max_in_flight,
        "keep_alive": load.keep_alive,
        "run_id": run_id,
        "tell_gone_at": True,
        "parent_pid": parent_pid,
    }
