"""``squall experiment``: vary settings, fix the rest, and see what differs beyond noise."""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from squall.output import JsonFlag, emit, say, table

if TYPE_CHECKING:
    from chaos.experiment.results import ExperimentRun
    from chaos.experiment.schema import Experiment

app = typer.Typer(help="Compare settings: vary, fix, repeat.", no_args_is_help=True)

SCHEMA = "squall.experiment/1"
INTERRUPTED = 130
INCONCLUSIVE = 4

NameArgument = Annotated[
    str, typer.Argument(help="An experiment's name, or a file.", metavar="NAME")
]
ResultArgument = Annotated[
    str,
    typer.Argument(
        help="limiter-sweep (its newest), limiter-sweep/20261122T152216Z, or a folder.",
        metavar="RESULT",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change a value: repeat=1, fix.load.seconds=5, vary.load.rate=[10, 20].",
        metavar="PATH=VALUE",
    ),
]


@app.command("list")
def list_experiments(as_json: JsonFlag = False) -> None:
    """Show every experiment, what it varies and how long it takes."""
    from chaos.experiment.loading import experiment_files, load_experiment

    found = [_brief(load_experiment(path)) for path in experiment_files()]
    rows = [
        [one["experiment"], one["varies"], one["cells"], one["minutes"], one["question"]]
        for one in found
    ]
    head = ("experiment", "varies", "cells", "minutes", "question")
    emit(
        "squall.experiment-list/1", {"experiments": found}, as_json=as_json, text=table(head, rows)
    )


@app.command("check")
def check(name: NameArgument, overrides: SetOption = None, as_json: JsonFlag = False) -> None:
    """Check a file and show its cells; a mistake is named with its line and column."""
    from chaos.experiment.factors import cells, word

    experiment = _load(name, overrides)[0]
    rows = [[word(level) for level in cell.values()] for cell in cells(experiment)]
    said = _brief(experiment)
    text = f"{table(list(experiment.vary), rows)}\n{_promise(experiment)}"
    emit("squall.experiment-check/1", {**said, "valid": True}, as_json=as_json, text=text)


@app.command("run")
def run(
    name: NameArgument,
    overrides: SetOption = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Once each, 6 s long: a first look, with more noise.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with its newest run, which was interrupted.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run an experiment: 0 done, 3 can't be run here, 4 a quarter of its runs is in doubt."""
    from chaos.experiment.files import write_files

    done, text = _resume(name, overrides, quick=quick) if resume else _run(name, overrides, quick)
    write_files(done, text)
    _print(done, as_json=as_json)
    if done.is_interrupted:
        say(f"interrupted; go on with: squall experiment run {shlex.quote(name)} --resume")
    raise typer.Exit(_exit_code(done))


@app.command("show")
def show(result: ResultArgument, as_json: JsonFlag = False) -> None:
    """Print a stored result again, with the exit code that its run had."""
    from chaos.experiment.find import find_result
    from chaos.experiment.record import read_record

    found = read_record(find_result(result))
    _print(found, as_json=as_json)
    if found.is_interrupted:
        say(f"interrupted: {len(found.counted)} of {_count(found.experiment)} runs were made")
    raise typer.Exit(_exit_code(found))


def _run(name: str, overrides: list[str] | None, quick: bool) -> "tuple[ExperimentRun, str]":
    from chaos.experiment.run import quicker, run_experiment
    from chaos.lab import find_lab

    experiment, text = _load(name, overrides)
    say(_promise(quicker(experiment) if quick else experiment))
    return run_experiment(find_lab(), experiment, overrides or [], say, is_quick=quick), text


def _resume(name: str, overrides: list[str] | None, *, quick: bool) -> "tuple[ExperimentRun, str]":
    from chaos.experiment.resume import find_interrupted
    from chaos.experiment.run import resume_experiment
    from chaos.lab import find_lab
    from kit.errors import ConfigError

    if overrides or quick:
        raise ConfigError(
            "--resume goes on with what the run began with: leave out --set and --quick"
        )
    text = _load(name, None)[1]
    found = find_interrupted(name)
    say(f"{found.folder}: {len(found.counted)} of {_count(found.experiment)} runs are kept")
    resume_experiment(find_lab(), found, say)
    return found, text


def _print(run: "ExperimentRun", *, as_json: bool) -> None:
    """Print what a run found: one object, or the table, the answer and where its page is."""
    from chaos.experiment.files import PAGE_FILE
    from chaos.experiment.findings import as_json as findings_json
    from chaos.experiment.findings import find

    findings = find(run)
    lines = [
        table(findings.head, findings.rows()),
        *findings.answer(),
        f"page {run.folder / PAGE_FILE}",
    ]
    emit(SCHEMA, findings_json(run, findings), as_json=as_json, text="\n".join(lines))


def _exit_code(run: "ExperimentRun") -> int:
    from chaos.experiment.run import MAX_UNSOUND_SHARE

    if run.is_interrupted:
        return INTERRUPTED
    return INCONCLUSIVE if run.unsound_share > MAX_UNSOUND_SHARE else 0


def _count(experiment: "Experiment") -> int:
    from chaos.experiment.factors import cells

    return len(cells(experiment)) * experiment.repeat


def _load(name: str, overrides: list[str] | None) -> "tuple[Experiment, str]":
    from chaos.experiment.loading import find_experiment, load_experiment

    path = find_experiment(name)
    return load_experiment(path, overrides or []), path.read_text(encoding="utf-8")


def _promise(experiment: "Experiment") -> str:
    """Say beforehand what will be done, and how long it takes."""
    from chaos.experiment.factors import cells
    from chaos.experiment.run import seconds_of

    count = len(cells(experiment))
    minutes = seconds_of(experiment) / 60
    return (
        f"{experiment.experiment}: {count} cells, {experiment.repeat} times each, in shuffled "
        f"order; about {minutes:.1f} min · Ctrl-C restores everything"
    )


def _brief(experiment: "Experiment") -> dict[str, object]:
    from chaos.experiment.factors import cells
    from chaos.experiment.run import seconds_of

    return {
        "experiment": experiment.experiment,
        "question": experiment.question,
        "varies": ", ".join(experiment.vary),
        "cells": len(cells(experiment)),
        "repeat": experiment.repeat,
        "minutes": round(seconds_of(experiment) / 60, 1),
        "measures": [measure.title for measure in experiment.measures],
    }
