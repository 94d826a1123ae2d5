"""Run an experiment: every cell, every repeat, in an order of chance, each as a drill's arm.

Interleaved, because a machine that grows busy must not make the cells that come last look bad; and
all cells of one repeat meet the same arrivals. A run whose measurement is in doubt (drills.md R6)
is made once more at the end of its repeat; in doubt again, it is shown and not counted.
"""

import asyncio
import os
import random
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from chaos.drill.arm_run import Aborted, Stage, run_arm
from chaos.drill.arms import MAIN, Arm
from chaos.drill.engine import ARM_OVERHEAD_S
from chaos.drill.host_lease import HostLease
from chaos.drill.lease import OverlayLease
from chaos.drill.lock import drill_lock
from chaos.drill.observation import Observation
from chaos.drill.outcome import measurement
from chaos.drill.preconditions import check_machine, check_targets
from chaos.drill.report import make_folder
from chaos.drill.soundness import doubts
from chaos.experiment.factors import cells, drill_of, name_of
from chaos.experiment.figures import figure
from chaos.experiment.schema import Cell, Experiment
from chaos.lab import Lab
from kit.control import ControlClient

QUICK_SECONDS, QUICK_WARMUP_S = 6.0, 2.0
MAX_UNSOUND_SHARE = 0.25  # above it the table says more of the machine than of the settings

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CellRun:
    """One run of one cell.

    Args:
        index: Which cell.
        repeat: Which repeat, from 1.
        seed: Of its arrivals.
        observed: By measure, in the experiment's order.
        doubts: Why it can't be judged; none when it can.
    """

    index: int
    repeat: int
    seed: int
    observed: Sequence[Observation]
    doubts: Sequence[str] = ()

    @property
    def is_sound(self) -> bool:
        """Whether it counts."""
        return not self.doubts


@dataclass(slots=True)
class ExperimentRun:
    """An experiment, run.

    Args:
        experiment: What was run.
        mode: ``processes`` or ``containers``.
        folder: Where its files lie.
        overrides: ``--set`` as given.
        runs: In the order in which they ended; the last of a cell and repeat counts.
        interrupted: Whether it ended before all had run.
    """

    experiment: Experiment
    mode: str
    folder: Path
    overrides: Sequence[str] = ()
    runs: list[CellRun] = field(default_factory=list)
    interrupted: bool = False

    @property
    def cells(self) -> Sequence[Cell]:
        """Every combination."""
        return cells(self.experiment)

    @property
    def counted(self) -> Sequence[CellRun]:
        """The last run of each cell and repeat."""
        return list({(run.index, run.repeat): run for run in self.runs}.values())

    def of(self, index: int) -> Sequence[CellRun]:
        """Return the sound runs of a cell."""
        return [run for run in self.counted if run.index == index and run.is_sound]

    @property
    def unsound_share(self) -> float:
        """How many runs could not be judged, as a share of all."""
        counted = self.counted
        return sum(not run.is_sound for run in counted) / max(1, len(counted))


def seconds_of(experiment: Experiment) -> float:
    """Return how long an experiment takes, about, if no run has to be made again."""
    load = experiment.fix.load
    each_s = load.warmup + load.seconds + ARM_OVERHEAD_S
    return len(cells(experiment)) * experiment.repeat * each_s


def quicker(experiment: Experiment) -> Experiment:
    """Return the same with one short run a cell: a first look."""
    fix = experiment.fix
    load = replace(fix.load, seconds=QUICK_SECONDS, warmup=QUICK_WARMUP_S)
    return replace(experiment, repeat=1, fix=replace(fix, load=load))


def order(experiment: Experiment, repeat: int) -> list[int]:
    """Return the cells in the order of one repeat; another one each time."""
    indices = list(range(len(cells(experiment))))
    random.Random(f"{experiment.seed}/{repeat}").shuffle(indices)
    return indices


def run_experiment(
    lab: Lab, experiment: Experiment, overrides: Sequence[str], tell: Tell
) -> ExperimentRun:
    """Run an experiment; what has run so far is in the result also when Ctrl-C ends it.

    Args:
        lab: A lab that answers.
        experiment: Checked.
        overrides: As given, for the replay line.
        tell: Hears of each run that has ended.

    Raises:
        ConfigError: It names a service that this lab hasn't.
        LabEnvironmentError: A drill runs, the machine is too small, or the lab fails.
    """
    first = drill_of(experiment, cells(experiment)[0])
    check_machine(first)
    name = f"experiments/{experiment.experiment}"
    with drill_lock(lab.state_folder, f"experiment {experiment.experiment}"):
        run = ExperimentRun(experiment, lab.mode, make_folder(lab.root, name), overrides)
        try:
            asyncio.run(_run(lab, run, tell))
        except (KeyboardInterrupt, asyncio.CancelledError):  # SIGINT, SIGTERM
            run.interrupted = True
    return run


async def _run(lab: Lab, run: ExperimentRun, tell: Tell) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    control = ControlClient(lab.control)
    try:
        for cell in run.cells:
            await check_targets(control, drill_of(run.experiment, cell))
        with OverlayLease(lab.control) as lease, HostLease(lab.driver) as host:
            place = _Place(lab, control, lease, host)
            for repeat in range(1, run.experiment.repeat + 1):
                await _run_repeat(place, run, repeat, tell)
    finally:
        await control.close()


@dataclass(frozen=True, slots=True)
class _Place:
    """What every cell is run in."""

    lab: Lab
    control: ControlClient
    lease: OverlayLease
    host: HostLease


async def _run_repeat(place: _Place, run: ExperimentRun, repeat: int, tell: Tell) -> None:
    again = []
    for index in order(run.experiment, repeat):
        if not (await _run_cell(place, run, index, repeat, tell)).is_sound:
            again.append(index)
    for index in again:
        await _run_cell(place, run, index, repeat, tell)


async def _run_cell(
    place: _Place, run: ExperimentRun, index: int, repeat: int, tell: Tell
) -> CellRun:
    number = len(run.runs) + 1
    drill = drill_of(run.experiment, run.cells[index])
    seed = run.experiment.seed + repeat - 1
    folder = run.folder / f"{number:03}"
    stage = Stage(
        drill, seed, place.lab.base_url, place.control, place.lease, place.host, (), folder,
        lambda *_: None,
    )  # fmt: skip
    try:
        outcome = await run_arm(stage, Arm(MAIN, drill.policies, drill.load.phases), number)
    except Aborted as aborted:  # a cell has no `abort_if`; whoever adds one reads it here
        done = CellRun(index, repeat, seed, (), (str(aborted),))
    else:
        cores = float(len(os.sched_getaffinity(0)))
        found = [doubt.message for doubt in doubts(measurement(drill, outcome, cores))]
        observed = [figure(each, outcome.arrivals) for each in run.experiment.measures]
        done = CellRun(index, repeat, seed, observed, found)
    run.runs.append(done)
    tell(_line(run, done, number))
    return done


def _line(run: ExperimentRun, done: CellRun, number: int) -> str:
    figures = " · ".join(
        f"{measure.title} {'–' if seen.value is None else f'{seen.value:.3g}'}"
        for measure, seen in zip(run.experiment.measures, done.observed, strict=False)
    )
    said = f"in doubt: {done.doubts[0]}" if done.doubts else figures
    total = len(run.cells) * run.experiment.repeat
    return f"{number} of {total}  repeat {done.repeat}  {name_of(run.cells[done.index])}  {said}"
