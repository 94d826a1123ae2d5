"""An experiment against a fake lab: real control plane, real members, real load."""

import signal
from pathlib import Path

import pytest

from chaos.drill import preconditions, soundness
from chaos.drill.lock import drill_lock
from chaos.drill.observation import Observation
from chaos.experiment.files import write_files
from chaos.experiment.findings import find
from chaos.experiment.record import read_record
from chaos.experiment.results import CellRun, Due, ExperimentRun, order
from chaos.experiment.run import (
    MAX_UNSOUND_SHARE,
    resume_experiment,
    run_experiment,
    seconds_of,
)
from kit.errors import ConfigError, LabEnvironmentError
from tests.chaos.drill.rig import Rig
from tests.chaos.experiment.build import experiment

pytestmark = pytest.mark.integration

FIX = {
    "set": {"stations": {"video": {"workers": 2, "mean_ms": 100}}},
    "capacity": {"of": "video", "rps": 20},
    "load": {"rate": 100, "seconds": 1.5, "warmup": 0.5, "gaps": "constant"},
}


SHORT = {
    **FIX,
    "load": {"rate": 20, "seconds": 0.5, "warmup": 0.2, "gaps": "constant"},
}


def test_two_cells_are_run_and_told_apart(rig: Rig) -> None:
    """With the limiter most of five times the capacity is refused, without it nothing."""
    vary = {"video.limiter": ["off", "on"]}
    of = experiment(vary=vary, measure=["rejected_share"], repeat=1, fix=FIX)
    told: list[str] = []

    run = run_experiment(rig.lab, of, (), told.append)

    assert (len(run.runs), run.unsound_share, run.is_interrupted) == (2, 0.0, False)
    assert [line.split()[0] for line in told] == ["1", "2"]
    without, limited = find(run).table
    assert limited[0].figure.mean is not None
    assert without[0].figure.mean is not None
    assert limited[0].figure.mean > 0.3
    assert without[0].figure.mean == 0
    assert limited[0].differs_from == ["video.limiter"]
    assert rig.overlay() is None
    write_files(run, "the text")
    latest = rig.lab.root / "runs/experiments/small/latest"
    assert (latest / "experiment.html").exists()
    assert (latest / "001" / "main" / "requests.csv").exists()


def test_a_run_in_doubt_is_made_once_more_and_then_shown(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lag at all can be kept: two runs of the one cell, none of which counts."""
    monkeypatch.setattr(soundness, "MAX_GENERATOR_LAG_P99_MS", -1.0)
    of = experiment(vary={"video.limiter": ["on"]}, repeat=1, fix={**FIX, "load": {
        "rate": 20, "seconds": 0.5, "warmup": 0.2,
    }})  # fmt: skip
    told: list[str] = []

    run = run_experiment(rig.lab, of, (), told.append)

    assert len(run.runs) == 2
    assert run.unsound_share == 1.0 > MAX_UNSOUND_SHARE
    assert "in doubt: main arm: the generator sent" in told[0]
    assert [line.startswith("1 of 1  repeat 1  again  ") for line in told] == [False, True]
    assert find(run).rows()[0][-1] == "0"


def test_an_interrupted_run_goes_on_where_it_stopped(rig: Rig) -> None:
    """SIGTERM in the second cell: the first is kept as it was, and the lab is as it was."""
    of = experiment(vary={"video.limiter": ["off", "on"]}, repeat=1, fix=SHORT)
    told: list[str] = []

    def stop(line: str) -> None:
        told.append(line)
        signal.raise_signal(signal.SIGTERM)

    begun = run_experiment(rig.lab, of, ("repeat=1",), stop)
    assert (len(begun.runs), begun.is_interrupted) == (1, True)
    assert rig.overlay() is None
    (begun.folder / "002" / "main").mkdir(parents=True, exist_ok=True)
    (begun.folder / "002" / "main" / "half").write_text("of a cell")

    run = read_record(begun.folder)
    resume_experiment(rig.lab, run, told.append)

    assert (len(run.runs), run.is_interrupted) == (2, False)
    assert run.runs[0] == begun.runs[0]
    assert [one.index for one in run.runs] == order(of, 1)
    assert [line.split()[0] for line in told] == ["1", "2"]
    assert read_record(begun.folder).runs == run.runs
    assert not (begun.folder / "002" / "main" / "half").exists()
    assert rig.overlay() is None


def test_a_run_of_another_mode_is_not_gone_on_with(rig: Rig) -> None:
    """Containers and processes cost differently; one table must not hold both."""
    run = ExperimentRun(experiment(fix=SHORT), "containers", rig.lab.root)
    with pytest.raises(LabEnvironmentError, match="begun as containers and this lab runs as proc"):
        resume_experiment(rig.lab, run, print)


async def make_at_once(_: object, run: ExperimentRun, due: Due) -> CellRun:
    """Stand in for a cell where what becomes of it is the question."""
    return CellRun(due.cell, due.repeat, 17, (Observation(0.5),) * len(run.experiment.measures))


def test_a_full_disk_costs_the_record_and_not_the_experiment(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said that this one can't be resumed."""

    def fail(_: ExperimentRun) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("chaos.experiment.run.write_record", fail)
    monkeypatch.setattr("chaos.experiment.run._run_cell", make_at_once)
    told: list[str] = []
    of = experiment(vary={"video.limiter": ["off"]}, repeat=1, fix=SHORT)
    run = run_experiment(rig.lab, of, (), told.append)
    assert (len(run.runs), run.is_interrupted) == (1, False)
    assert told[0].endswith("record.json: No space left on device; it can't be resumed")


def test_a_lab_that_fails_under_way_leaves_what_was_run(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error goes on, after it was said where the runs are kept."""
    monkeypatch.setattr("chaos.experiment.run._run_cell", make_at_once)
    of = experiment(vary={"video.limiter": ["off", "on"]}, repeat=1, fix=SHORT)
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        if len(told) == 1:
            raise LabEnvironmentError("the control plane is gone")

    with pytest.raises(LabEnvironmentError, match="control plane is gone"):
        run_experiment(rig.lab, of, (), tell)
    assert told[1].startswith(f"runs kept in {rig.lab.root}/runs/experiments/small/")
    assert told[1].endswith(": 1; --resume goes on with them")


def test_what_cannot_be_run_here_is_refused_before_anything_is_touched(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another drill, a machine too small, a service that isn't there."""
    monkeypatch.setattr(preconditions, "READY_LIMIT_S", 0.2)
    of = experiment(fix=FIX)
    with (
        drill_lock(rig.lab.state_folder, "overload"),
        pytest.raises(LabEnvironmentError, match="a drill runs already: overload"),
    ):
        run_experiment(rig.lab, of, (), print)
    with pytest.raises(LabEnvironmentError, match="needs 999 cores"):
        run_experiment(rig.lab, experiment(cores=999), (), print)
    with pytest.raises(ConfigError, match="vidio"):
        run_experiment(rig.lab, experiment(vary={"vidio.limiter": ["on"]}, fix=FIX), (), print)
    assert rig.overlay() is None
    assert not Path(rig.lab.root / "runs/experiments/small/latest/001").exists()


def test_the_time_is_told_beforehand() -> None:
    """Each run with its warm-up and four seconds of starting and settling."""
    load = {"seconds": 10, "warmup": 2}
    of = experiment(repeat=3, fix={**FIX, "load": load})
    assert seconds_of(of) == 4 * 3 * 16
