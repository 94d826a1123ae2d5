"""Run one arm: set the lab, send the load, break things on time, ask, put it all together.

Several things happen at once, each in a task of its own: faults come and go, counters are read at
the borders of the fault phase, evidence is gathered while processes still remember, somebody
watches. All of them follow one clock, that of the load generator.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.drill.arms import Arm, FaultWindow, fault_windows, load_plan, overlay
from chaos.drill.bound import parse_bound
from chaos.drill.lease import OverlayLease
from chaos.drill.loadgen import LoadProcess
from chaos.drill.metrics import Arrivals
from chaos.drill.outcome import ArmOutcome
from chaos.drill.probes import (
    Evidence,
    Protection,
    Stats,
    ask_proofs,
    ask_protections,
    ask_stats,
    collect_evidence,
)
from chaos.drill.records import read_records
from chaos.drill.schema import FAULT, AbortIf, Drill
from kit.control import ControlClient
from kit.errors import LabEnvironmentError, LabError

LIVE_TIMEOUT_S = 5.0  # settings reach everybody in 0.2 s; somebody who needs this long is ill
PROOF_BEFORE_END_S = 0.4  # proofs are counted while the rule stands
EVIDENCE_AFTER_S = 2.0  # into the fault: what came first is not yet typical
EVERY_S = 1.0
PROTECTED_BY_DEFAULT = "gateway"  # where a policy acts that is on everywhere


class Aborted(Exception):
    """An ``abort_if`` came true; the message says which and at what figure."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What an arm needs around it.

    Args:
        drill: What is run.
        seed: Of the arrivals.
        base_url: The front door.
        control: For asking.
        lease: For setting.
        folder: Of this run; each arm gets a folder in it.
        watch: Called each second with the arm, the load, what has ended so far, and what the
            protecting policies do.
    """

    drill: Drill
    seed: int
    base_url: str
    control: ControlClient
    lease: OverlayLease
    folder: Path
    watch: Callable[[Arm, LoadProcess, Arrivals, Sequence[Protection]], None]


@dataclass(slots=True)
class _Notes:
    """What the tasks of an arm find out."""

    proofs: dict[str, dict[str, float]] = field(default_factory=dict)
    evidence: list[Evidence] = field(default_factory=list)
    protections: list[Protection] = field(default_factory=list)
    before: Stats | None = None
    after: Stats | None = None
    at_end: Stats | None = None
    fault_seconds: float = 0.0


async def run_arm(stage: Stage, arm: Arm, epoch: int) -> ArmOutcome:
    """Run an arm from setting the lab to the last answer.

    Args:
        stage: The lab and the drill.
        arm: What to run.
        epoch: A number that no earlier arm of this run had.

    Raises:
        Aborted: An ``abort_if`` came true.
        LabEnvironmentError: Somebody didn't take the settings, or the generator failed.
    """
    folder = stage.folder / arm.name.replace(" ", "-")
    load = LoadProcess(stage.base_url, folder, _plan(stage, arm))
    try:
        live_after_ms = await _set_lab(stage, arm, epoch)
        await load.start()
        notes = await _follow(stage, arm, epoch, load)
        summary = await load.wait()
    finally:
        await load.stop()
    notes.at_end = await ask_stats(stage.control)
    _write(folder / "stats.json", notes.at_end.raw)
    return ArmOutcome(
        arm=arm,
        arrivals=_arrivals(stage.drill, arm, folder),
        load=summary,
        proofs=notes.proofs,
        evidence=notes.evidence,
        lag_p99_ms=notes.at_end.lag_p99_ms,
        cores_used=_cores_used(notes, summary, arm),
        lease_lapsed=stage.lease.has_lapsed,
        live_after_ms=live_after_ms,
    )


async def _set_lab(stage: Stage, arm: Arm, epoch: int) -> float:
    version = await stage.lease.hold(
        overlay(stage.drill, arm, holder=f"drill, process {os.getpid()}", epoch=epoch)
    )
    report = await stage.control.wait_live(version, timeout_s=LIVE_TIMEOUT_S)
    if not report.is_complete:
        raise LabEnvironmentError(f"the settings of the {arm.name} arm are {report}")
    return report.after_ms


async def _follow(stage: Stage, arm: Arm, epoch: int, load: LoadProcess) -> _Notes:
    notes = _Notes()
    try:
        async with asyncio.TaskGroup() as tasks:
            helpers = [tasks.create_task(w) for w in _helpers(stage, arm, epoch, load, notes)]
            try:
                await _watch_until_end(stage, arm, load, notes)
            finally:
                for helper in helpers:
                    helper.cancel()
    except* (Aborted, LabError) as group:
        # One reason is enough, and a group of one would hide it from whoever catches it.
        raise group.exceptions[0] from None
    return notes


def _helpers(
    stage: Stage, arm: Arm, epoch: int, load: LoadProcess, notes: _Notes
) -> list[Coroutine[Any, Any, None]]:
    return [
        _break_things(stage, arm, epoch, load, notes),
        _read_counters(stage, arm, load, notes),
        _gather_evidence(stage, arm, load, notes),
        _look_at_protections(stage, arm, notes),
    ]


async def _watch_until_end(stage: Stage, arm: Arm, load: LoadProcess, notes: _Notes) -> None:
    while not load.has_ended:
        arrivals = _judgeable(stage.drill, arm, load)
        stage.watch(arm, load, arrivals, notes.protections)
        try:
            _check_aborts(stage.drill.abort_if, load)
        except Aborted:
            await load.stop()
            raise
        for _ in range(10):
            if load.has_ended:
                break
            await asyncio.sleep(EVERY_S / 10)


async def _break_things(
    stage: Stage, arm: Arm, epoch: int, load: LoadProcess, notes: _Notes
) -> None:
    """Write the overlay anew at each moment at which a fault begins or ends."""
    windows = fault_windows(stage.drill, arm)
    moments = sorted({t for w in windows for t in (w.window.from_s, w.window.to_s)})
    for moment_s in moments:
        if any(w.window.to_s == moment_s for w in windows):
            await load.sleep_until(moment_s - PROOF_BEFORE_END_S)
            notes.proofs |= await ask_proofs(stage.control)
        await load.sleep_until(moment_s)
        active = [w for w in windows if w.window.from_s <= moment_s < w.window.to_s]
        await _hold_faults(stage, arm, epoch, active)


async def _hold_faults(stage: Stage, arm: Arm, epoch: int, active: list[FaultWindow]) -> None:
    await stage.lease.hold(
        overlay(
            stage.drill,
            arm,
            holder=f"drill, process {os.getpid()}",
            epoch=epoch,
            faults=active,
        )
    )


async def _read_counters(stage: Stage, arm: Arm, load: LoadProcess, notes: _Notes) -> None:
    window = arm.windows[FAULT]
    await load.sleep_until(window.from_s)
    began_s = load.at_s
    notes.before = await ask_stats(stage.control)
    await load.sleep_until(window.to_s)
    notes.after = await ask_stats(stage.control)
    notes.fault_seconds = load.at_s - began_s


async def _gather_evidence(stage: Stage, arm: Arm, load: LoadProcess, notes: _Notes) -> None:
    """Ask about requests soon after they ended: a busy process forgets within seconds."""
    window = arm.windows[FAULT]
    await load.sleep_until(window.from_s + EVIDENCE_AFTER_S)
    while load.at_s < window.to_s:
        recent = load.progress().get("recent", {})
        await collect_evidence(stage.control, arm.name, recent, notes.evidence)
        await asyncio.sleep(EVERY_S)


async def _look_at_protections(stage: Stage, arm: Arm, notes: _Notes) -> None:
    """Follow what the policies do that the control arm goes without."""
    policies = [name for name in stage.drill.control.off if name not in arm.off]
    targets = {PROTECTED_BY_DEFAULT}
    for name in policies:
        switch = arm.policies[name]
        targets |= set(switch) if isinstance(switch, dict) else set()
    while policies:
        notes.protections = await ask_protections(stage.control, policies, targets)
        await asyncio.sleep(EVERY_S)


def _check_aborts(conditions: tuple[AbortIf, ...], load: LoadProcess) -> None:
    progress = load.progress()
    kinds = progress.get("kinds", {})
    ended = sum(kinds.values())
    if not ended:
        return
    figures = {
        "sent_share": 1 - kinds.get("unsent", 0) / ended,
        "failed_share": (kinds.get("failed", 0) + kinds.get("expired", 0)) / ended,
        "lag_p99_ms": float(progress.get("lag_p99_ms", 0.0)),
    }
    for condition in conditions:
        bound, figure = parse_bound(condition.bound), figures[condition.metric]
        if bound.holds(figure):
            raise Aborted(f"{condition.metric} is {figure:.3g}, and the drill ends at {bound}")


def _judgeable(drill: Drill, arm: Arm, load: LoadProcess) -> Arrivals:
    """Return what has ended so far, with each phase cut at now minus the budget."""
    budget_s = drill.load.budget_ms / 1000
    settled_s = max(0.0, load.at_s - budget_s)
    records = [r for r in load.records_so_far() if r.scheduled_s < settled_s]
    windows = {
        name: type(window)(window.from_s, min(window.to_s, settled_s))
        for name, window in arm.windows.items()
        if window.from_s < settled_s
    }
    return Arrivals(records, windows, budget_s, _capacity(drill))


def _arrivals(drill: Drill, arm: Arm, folder: Path) -> Arrivals:
    records = read_records(folder / "requests.csv")
    return Arrivals(records, arm.windows, drill.load.budget_ms / 1000, _capacity(drill))


def _capacity(drill: Drill) -> float | None:
    return drill.capacity.rps if drill.capacity else None


def _plan(stage: Stage, arm: Arm) -> dict[str, Any]:
    run_id = f"{stage.folder.name}-{arm.name}".replace(" ", "-")
    return load_plan(stage.drill, arm, seed=stage.seed, run_id=run_id, parent_pid=os.getpid())


def _cores_used(notes: _Notes, summary: dict[str, Any], arm: Arm) -> float:
    """Return the mean cores under the fault; the generator's share goes by requests sent."""
    if notes.before is None or notes.after is None or notes.fault_seconds <= 0:
        return 0.0
    lab_s = sum(
        max(0.0, cpu_s - notes.before.cpu_s.get(name, 0.0))
        for name, cpu_s in notes.after.cpu_s.items()
    )
    requests = {str(p.name): sum(p.rates.values()) * p.seconds for p in arm.phases}
    share = requests[FAULT] / max(1.0, sum(requests.values()))
    generator_s = float(summary.get("cpu_s", 0.0)) * share
    return round((lab_s + generator_s) / notes.fault_seconds, 3)


def _write(path: Path, data: object) -> None:
    with contextlib.suppress(OSError):
        path.write_text(json.dumps(data, indent=1))
