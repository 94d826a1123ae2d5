"""Run an experiment: every cell, every repeat, in an order of chance, each as a drill's arm.

Interleaved, because a machine that grows busy must not make the cells that come last look bad; and
all cells of one repeat meet the same arrivals. A run whose measurement is in doubt (drills.md R6)
is made once more at the end of its repeat; in doubt again, it is shown and not counted. After each
run the record is written, and an experiment that was interrupted goes on from it.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from msgspec.structs import replace

from chaos.drill.arm_run import Aborted, Stage, run_arm
from chaos.drill.arms import MAIN, Arm
from chaos.drill.engine import ARM_OVERHEAD_S
from chaos.drill.host_lease import HostLease
from chaos.drill.lease import OverlayLease
from chaos.drill.lock import drill_lock
from chaos.drill.outcome import measurement
from chaos.drill.preconditions import check_machine, check_targets
from chaos.drill.report import make_folder
from chaos.drill.soundness import doubts
from chaos.experiment.factors import cells, drill_of, name_of
from chaos.experiment.figures import figure
from chaos.experiment.record import RECORD_FILE, write_record
from chaos.experiment.results import CellRun, Due, ExperimentRun, next_due
from chaos.experiment.schema import Experiment
from chaos.lab import Lab
from kit.control import ControlClient
from kit.errors import LabEnvironmentError, LabError

QUICK_SECONDS, QUICK_WARMUP_S = 6.0, 2.0
MAX_UNSOUND_SHARE = 0.25  # above it the table says more of the machine than of the settings

Tell = Callable[[str], None]


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


def run_experiment(
    lab: Lab,
    experiment: Experiment,
    overrides: Sequence[str],
    tell: Tell,
    *,
    is_quick: bool = False,
) -> ExperimentRun:
    """Run an experiment; what has run so far is in the result also when Ctrl-C ends it.

    Args:
        lab: A lab that answers.
        experiment: Checked.
        overrides: As given, for the record.
        tell: Hears of each run that has ended.
        is_quick: Whether one short run a cell is enough.

    Raises:
        ConfigError: It names a service that this lab hasn't.
        LabEnvironmentError: A drill runs, the machine is too small, or the lab fails.
    """
    experiment = quicker(experiment) if is_quick else experiment
    with _alone(lab, experiment):
        folder = make_folder(lab.root, f"experiments/{experiment.experiment}")
        run = ExperimentRun(experiment, lab.mode, folder, overrides, is_quick)
        _make_runs(lab, run, tell)
    return run


def resume_experiment(lab: Lab, run: ExperimentRun, tell: Tell) -> None:
    """Make the runs that are missing, in the order in which they would have been made.

    Args:
        lab: A lab that answers.
        run: From a record, see ``chaos.experiment.resume``; its runs are kept.
        tell: Hears of each run that has ended.

    Raises:
        ConfigError: It names a service that this lab hasn't.
        LabEnvironmentError: As ``run_experiment``, or the lab runs in another mode.
    """
    if run.mode != lab.mode:
        raise LabEnvironmentError(
            f"{run.folder} was begun as {run.mode} and this lab runs as {lab.mode}: start that "
            "one, or run the experiment anew without --resume"
        )
    with _alone(lab, run.experiment):
        _make_runs(lab, run, tell)


@contextmanager
def _alone(lab: Lab, experiment: Experiment) -> Iterator[None]:
    check_machine(drill_of(experiment, cells(experiment)[0]))
    with drill_lock(lab.state_folder, f"experiment {experiment.experiment}"):
        yield


def _make_runs(lab: Lab, run: ExperimentRun, tell: Tell) -> None:
    try:
        asyncio.run(_run(lab, run, tell))
    except (KeyboardInterrupt, asyncio.CancelledError):  # SIGINT, SIGTERM
        pass
    except LabError:
        if run.runs:
            tell(f"runs kept in {run.folder}: {len(run.runs)}; --resume goes on with them")
        raise


async def _run(lab: Lab, run: ExperimentRun, tell: Tell) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    control = ControlClient(lab.control)
    try:
        for cell in run.cells:
            await check_targets(control, drill_of(run.experiment, cell))
        _keep(run, tell)
        with OverlayLease(lab.control) as lease, HostLease(lab.driver) as host:
            place = _Place(lab, control, lease, host)
            while (due := next_due(run)) is not None:
                run.runs.append(await _run_cell(place, run, due))
                _keep(run, tell)
                tell(_line(run, run.runs[-1]))
    finally:
        await control.close()


def _keep(run: ExperimentRun, tell: Tell) -> None:
    """Write the record; a disk that is full costs it, and not the experiment."""
    try:
        write_record(run)
    except OSError as error:
        tell(f"can't keep {run.folder / RECORD_FILE}: {error.strerror}; it can't be resumed")


@dataclass(frozen=True, slots=True)
class _Place:
    """What every cell is run in."""

    lab: Lab
    control: ControlClient
    lease: OverlayLease
    host: HostLease


async def _run_cell(place: _Place, run: ExperimentRun, due: Due) -> CellRun:
    number = len(run.runs) + 1
    drill = drill_of(run.experiment, run.cells[due.cell])
    seed = run.experiment.seed + due.repeat - 1
    folder = run.folder / f"{number:03}"
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run left of this one
    stage = Stage(
        drill, seed, place.lab.base_url, place.control, place.lease, place.host, (), folder,
        lambda *_: None,
    )  # fmt: skip
    try:
        outcome = await run_arm(stage, Arm(MAIN, drill.policies, drill.load.phases), number)
    except Aborted as aborted:  # a cell has no `abort_if`; whoever adds one reads it here
        return CellRun(due.cell, due.repeat, seed, (), (str(aborted),))
    cores = float(len(os.sched_getaffinity(0)))
    found = tuple(doubt.message for doubt in doubts(measurement(drill, outcome, cores)))
    observed = tuple(figure(each, outcome.arrivals) for each in run.experiment.measures)
    return CellRun(due.cell, due.repeat, seed, observed, found)


def _line(run: ExperimentRun, done: CellRun) -> str:
    figures = " · ".join(
        f"{measure.title} {'–' if seen.value is None else f'{seen.value:.3g}'}"
        for measure, seen in zip(run.experiment.measures, done.observed, strict=False)
    )
    said = f"in doubt: {done.doubts[0]}" if done.doubts else figures
    total = len(run.cells) * run.experiment.repeat
    tries = sum((one.index, one.repeat) == (done.index, done.repeat) for one in run.runs)
    again = "  again" if tries > 1 else ""
    cell = name_of(run.cells[done.index])
    return f"{len(run.counted)} of {total}  repeat {done.repeat}{again}  {cell}  {said}"
