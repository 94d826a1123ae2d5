"""Run one arm: set the lab, send the load, break things on time, ask, put it all together.

Several things happen at once, each in a task of its own: faults come and go, counters are read
every second, evidence is gathered while processes still remember, somebody watches. All of them
follow one clock, that of the load generator.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.drill import following, readings
from chaos.drill.arms import Arm, FaultWindow, fault_windows, load_plan, overlay
from chaos.drill.bound import parse_bound
from chaos.drill.crowd import Crowd
from chaos.drill.fault_schedule import FaultSchedule
from chaos.drill.growing import Growing
from chaos.drill.host_lease import HostLease
from chaos.drill.lease import OverlayLease
from chaos.drill.loadgen import LoadProcess
from chaos.drill.metrics import Arrivals
from chaos.drill.notes import Notes
from chaos.drill.outcome import ArmOutcome
from chaos.drill.probes import Protection, ask_stats
from chaos.drill.readings import Readings, Sample
from chaos.drill.records import read_records
from chaos.drill.schema import FAULT, AbortIf, Drill
from chaos.drill.shard_role import StoreNode
from chaos.drill.writing import write_and_judge
from kit.control import ControlClient
from kit.errors import LabEnvironmentError, LabError

LIVE_TIMEOUT_S = 5.0  # settings reach everybody in 0.2 s; somebody who needs this long is ill
EVERY_S = 1.0

Watch = Callable[[Arm, LoadProcess, Arrivals, Sequence[Protection], Sequence[FaultWindow]], None]
"""Called each second with the arm, the load, what has ended so far, what the protecting policies
do, and the faults that have begun."""


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
        host: For the host's faults.
        store: The store's nodes; none when no fault asks for a shard's role.
        folder: Of this run; each arm gets a folder in it.
        watch: Told each second how it goes.
    """

    drill: Drill
    seed: int
    base_url: str
    control: ControlClient
    lease: OverlayLease
    host: HostLease
    store: Sequence[StoreNode]
    folder: Path
    watch: Watch


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
    growing = Growing(stage.drill.growth, arm, stage.store)
    try:
        live_after_ms = await _set_lab(stage, arm, epoch)
        await load.start()
        notes = await _follow(stage, arm, epoch, load, growing, folder)
        summary = await load.wait()
    finally:
        await load.stop()
        await growing.undo()
    at_end = await ask_stats(stage.control)
    notes.samples.append(Sample(arm.seconds, at_end))
    _write(folder / "stats.json", _last_words(notes.samples))
    return ArmOutcome(
        arm=arm,
        arrivals=_arrivals(stage.drill, arm, folder, notes),
        load=summary,
        proofs=notes.proofs,
        faults=[notes.faults.get(w.id, w) for w in fault_windows(stage.drill, arm)],
        evidence=notes.evidence,
        lag_p99_ms=_lags(notes.samples),
        cores_used=_cores_used(notes.samples, summary, arm),
        lease_lapsed=stage.lease.has_lapsed or stage.host.has_lapsed,
        live_after_ms=live_after_ms,
    )


async def _set_lab(stage: Stage, arm: Arm, epoch: int) -> float:
    version = await stage.lease.hold(_overlay(stage, arm, epoch)([]))
    report = await stage.control.wait_live(version, timeout_s=LIVE_TIMEOUT_S)
    if not report.is_complete:
        raise LabEnvironmentError(f"the settings of the {arm.name} arm are {report}")
    return report.after_ms


def _overlay(
    stage: Stage, arm: Arm, epoch: int
) -> Callable[[Sequence[FaultWindow]], dict[str, Any]]:
    holder = f"drill, process {os.getpid()}"
    return lambda faults: overlay(stage.drill, arm, holder=holder, epoch=epoch, faults=faults)


async def _follow(
    stage: Stage, arm: Arm, epoch: int, load: LoadProcess, growing: Growing, folder: Path
) -> Notes:
    notes = Notes()
    try:
        async with asyncio.TaskGroup() as tasks:
            work = [*_helpers(stage, arm, epoch, load, folder, notes), growing.run(load, notes)]
            helpers = [tasks.create_task(each) for each in work]
            try:
                await _watch_until_end(stage, arm, load, notes)
            finally:
                for helper in helpers:
                    helper.cancel()
    except* (Aborted, LabError) as group:
        # One reason is enough, and a group of one would hide it from whoever catches it.
        raise _first(group) from None
    return notes


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _helpers(
    stage: Stage, arm: Arm, epoch: int, load: LoadProcess, folder: Path, notes: Notes
) -> list[Coroutine[Any, Any, None]]:
    control, drill = stage.control, stage.drill
    schedule = FaultSchedule(
        fault_windows(drill, arm), _overlay(stage, arm, epoch), stage.lease, stage.host, control,
        stage.store, load, notes, lambda name: Crowd(stage.base_url, folder, name),
        token=f"{stage.folder.name}.{epoch}",
    )  # fmt: skip
    return [
        schedule.run(),
        following.read_counters(control, arm, load, notes),
        following.gather_evidence(control, arm, load, notes),
        following.look_at_protections(control, drill, arm, notes),
        following.run_commands(drill, arm, load, notes),
        write_and_judge(drill, arm, stage.seed, stage.store, load, folder, notes),
    ]


async def _watch_until_end(stage: Stage, arm: Arm, load: LoadProcess, notes: Notes) -> None:
    while not load.has_ended:
        arrivals = _judgeable(stage.drill, arm, load)
        stage.watch(arm, load, arrivals, notes.protections, list(notes.faults.values()))
        try:
            _check_aborts(stage.drill.abort_if, load)
        except Aborted:
            await load.stop()
            raise
        for _ in range(10):
            if load.has_ended:
                break
            await asyncio.sleep(EVERY_S / 10)


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


def _arrivals(drill: Drill, arm: Arm, folder: Path, notes: Notes) -> Arrivals:
    records = read_records(folder / "requests.csv")
    targets = [service for window in notes.faults.values() for service in window.names]
    told = Readings(notes.samples, notes.commands, targets, notes.written, notes.grown)
    return Arrivals(records, arm.windows, drill.load.budget_ms / 1000, _capacity(drill), told)


def _capacity(drill: Drill) -> float | None:
    return drill.capacity.rps if drill.capacity else None


def _plan(stage: Stage, arm: Arm) -> dict[str, Any]:
    run_id = f"{stage.folder.name}-{arm.name}".replace(" ", "-")
    return load_plan(stage.drill, arm, seed=stage.seed, run_id=run_id, parent_pid=os.getpid())


def _cores_used(samples: Sequence[Sample], summary: dict[str, Any], arm: Arm) -> float:
    """Return the mean cores under the fault; the generator's share goes by requests sent.

    While control is away nobody answers: what was burnt meanwhile shows in the next sample.
    """
    window = arm.windows[FAULT]
    heard = [sample for sample in samples if sample.answers]
    grown_s = readings.growth(
        readings.totals(heard, lambda answer: readings.number(answer, "cpu_s")), window
    )
    requests = {str(p.name): sum(p.rates.values()) * p.seconds for p in arm.phases}
    share = requests[FAULT] / max(1.0, sum(requests.values()))
    generator_s = float(summary.get("cpu_s", 0.0)) * share
    return round((grown_s + generator_s) / window.seconds, 3)


def _last_words(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return everybody's last answer: who is silent at the end still counts."""
    return {name: answer for sample in samples for name, answer in sample.answers.items()}


def _lags(samples: Sequence[Sample]) -> dict[str, float]:
    return {
        name: readings.number(answer.get("loop"), "p99_ms")
        for name, answer in _last_words(samples).items()
    }


def _write(path: Path, data: object) -> None:
    with contextlib.suppress(OSError):
        path.write_text(json.dumps(data, indent=1))
