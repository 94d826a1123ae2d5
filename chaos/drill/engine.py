"""The drill engine: arms one after the other, then a verdict.

main → reset → control → reset → ablations → verdict. Whatever ends it (a verdict, Ctrl-C, a
crash, kill -9), the lab is itself again: everything an arm wants lies in one leased entry of the
control plane.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.drill import judge
from chaos.drill.arm_run import Aborted, Stage, run_arm
from chaos.drill.arms import Arm, ablation_arms, control_arm, full_ablation_arms, main_arm
from chaos.drill.brief_view import BriefView
from chaos.drill.command_doubts import command_doubts
from chaos.drill.host_lease import HostLease
from chaos.drill.lease import OverlayLease
from chaos.drill.lock import drill_lock
from chaos.drill.outcome import ArmOutcome, measurement
from chaos.drill.preconditions import check_machine, check_targets, driver_for
from chaos.drill.report import DrillRun, make_folder, unreached, write_files
from chaos.drill.roster import Roster, call_roll
from chaos.drill.schema import DEFAULT_SEED, Drill
from chaos.drill.soundness import doubts
from chaos.drill.view import View
from chaos.drivers.contract import Driver
from chaos.lab import Lab
from chaos.report.write import write_report
from kit.control import ControlClient
from kit.errors import LabError

ARM_OVERHEAD_S = 4.0  # starting the generator, settling, the last answers


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a drill.

    Args:
        seed: Of the arrivals; the same one meets the same load.
        with_control: Whether to run the control arm, and the ablations after it.
        with_ablation: Whether to run the ablations that the drill asks for.
        ablate: Whether to take each protection of the main arm off alone, and all of them.
        overrides: As given with ``--set``, for the replay line.
        live: Whether to redraw on a terminal; None decides by stderr.
        place: Among several, such as ``2 of 8``: then it is shown in one line; "" when alone.
    """

    seed: int = DEFAULT_SEED
    with_control: bool = True
    with_ablation: bool = True
    ablate: bool = False
    overrides: Sequence[str] = ()
    live: bool | None = None
    place: str = ""


def arms_of(drill: Drill, options: Options) -> list[Arm]:
    """Return the arms that will run, in order."""
    arms = [main_arm(drill)]
    if options.with_control:
        arms.append(control_arm(drill))
    if options.ablate:
        arms.extend(full_ablation_arms(drill))
    elif options.with_control and options.with_ablation:
        arms.extend(ablation_arms(drill))
    return arms


def seconds_of(arms: Sequence[Arm]) -> float:
    """Return how long arms take, about."""
    return sum(arm.seconds + ARM_OVERHEAD_S for arm in arms)


def run_drill(lab: Lab, drill: Drill, drill_text: str, options: Options) -> DrillRun:
    """Run a drill and write its files.

    Args:
        lab: A lab that answers.
        drill: Checked.
        drill_text: The file as it was, for the run's folder.
        options: How.

    Raises:
        ConfigError: The drill names a service that this lab hasn't.
        LabEnvironmentError: Another drill runs, the machine is too small, or the lab fails.
        KeyboardInterrupt: Ctrl-C; everything is restored and the files say so.
    """
    check_machine(drill)
    driver = driver_for(lab, drill)
    with drill_lock(lab.state_folder, drill.drill):
        run = DrillRun(
            drill, lab.mode, options.seed, options.overrides,
            make_folder(lab.root, drill.drill), with_control=options.with_control,
            ablate=options.ablate,
        )  # fmt: skip
        try:
            asyncio.run(_run(lab, driver, run, options))
        except (KeyboardInterrupt, asyncio.CancelledError):  # SIGINT, SIGTERM
            run.verdict = unreached("interrupted", "interrupted; everything is restored")
            raise KeyboardInterrupt from None
        except LabError as error:
            run.verdict = unreached("failed", str(error))
            raise
        finally:
            write_files(run, drill_text)
            write_report(run.folder, at_end_of_run=True)
    return run


async def _run(lab: Lab, driver: Driver | None, run: DrillRun, options: Options) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    control = ControlClient(lab.control)
    arms = arms_of(run.drill, options)
    try:
        await check_targets(control, run.drill, driver)
        roster = await call_roll(control, driver, lab, run.drill)
        with (
            OverlayLease(lab.control) as lease,
            HostLease(lab.driver) as host,
            make_view(run.drill, arms, options) as view,
        ):
            stage = Stage(
                run.drill, run.seed, lab.base_url, control, lease, host, roster.store,
                run.folder, view.watch,
            )  # fmt: skip
            await _run_arms(stage, roster, run, arms, view)
        run.not_back = await roster.wait_back()
    finally:
        await control.close()


def make_view(drill: Drill, arms: Sequence[Arm], options: Options) -> View | BriefView:
    """Return who shows the run: a dozen lines, or one when it is one of several."""
    if options.place:
        return BriefView(drill, seconds_of(arms), options.place, options.live)
    return View(drill, seconds_of(arms), [arm.name for arm in arms], options.live)


async def _run_arms(
    stage: Stage, roster: Roster, run: DrillRun, arms: Sequence[Arm], view: View | BriefView
) -> None:
    cores = float(len(os.sched_getaffinity(0)))
    for epoch, arm in enumerate(arms, start=1):
        try:
            outcome = await run_arm(stage, arm, epoch)
        except Aborted as aborted:
            run.verdict = unreached("aborted", f"{arm.name} arm: {aborted}")
            return
        run.outcomes.append(outcome)
        if arm.name in ("main", "control"):
            _judge(run, cores)
            view.tell(_arm_summary(run, outcome))
        else:
            run.ablations[arm.name] = judge.examine(run.drill, outcome.arrivals)
        missing = [] if arm is arms[-1] else await roster.wait_back()
        if missing:
            who = ", ".join(missing)
            run.verdict = unreached("not_back", f"after the {arm.name} arm not back: {who}")
            return


def _judge(run: DrillRun, cores: float) -> None:
    """Reach the verdict of what has run so far; the last call is the one that counts."""
    outcomes = run.outcomes[:2]
    found = [d for o in outcomes for d in doubts(measurement(run.drill, o, cores))]
    main = judge.examine(run.drill, outcomes[0].arrivals)
    control = judge.examine_control(run.drill, outcomes[1].arrivals) if len(outcomes) > 1 else None
    wanted = {refutation.name for refutation in run.drill.control.refutations()}
    deciding = [main, [f for f in control or () if f.hypothesis.name in wanted]]
    for outcome, findings in zip(outcomes, deciding, strict=False):
        found += command_doubts(outcome.arm.name, findings, outcome.arrivals)
    run.verdict = judge.judge(run.drill, main, control, found)


def _arm_summary(run: DrillRun, outcome: ArmOutcome) -> str:
    findings = run.verdict.findings if outcome is run.outcomes[0] else run.verdict.control or ()
    figures = " · ".join(
        f"{f.hypothesis.name} {'never' if f.observed.value is None else f'{f.observed.value:.2f}'}"
        f" ({f.bound})"
        for f in findings
    )
    return f"arm {outcome.arm.name:<9} done: {figures}"
