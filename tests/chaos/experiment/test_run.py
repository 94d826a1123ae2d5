"""An experiment against a fake lab: real control plane, real members, real load."""

from pathlib import Path

import pytest

from chaos.drill import preconditions, soundness
from chaos.drill.lock import drill_lock
from chaos.experiment.files import write_files
from chaos.experiment.findings import find
from chaos.experiment.run import MAX_UNSOUND_SHARE, run_experiment, seconds_of
from kit.errors import ConfigError, LabEnvironmentError
from tests.chaos.drill.rig import Rig
from tests.chaos.experiment.build import experiment

pytestmark = pytest.mark.integration

FIX = {
    "set": {"stations": {"video": {"workers": 2, "mean_ms": 100}}},
    "capacity": {"of": "video", "rps": 20},
    "load": {"rate": 100, "seconds": 1.5, "warmup": 0.5, "gaps": "constant"},
}


def test_two_cells_are_run_and_told_apart(rig: Rig) -> None:
    """With the limiter most of five times the capacity is refused, without it nothing."""
    vary = {"video.limiter": ["off", "on"]}
    of = experiment(vary=vary, measure=["rejected_share"], repeat=1, fix=FIX)
    told: list[str] = []

    run = run_experiment(rig.lab, of, (), told.append)

    assert (len(run.runs), run.unsound_share, run.interrupted) == (2, 0.0, False)
    assert [line.split()[0] for line in told] == ["1", "2"]
    without, limited = find(run).table
    assert limited[0].figure.mean is not None
    assert without[0].figure.mean is not None
    assert limited[0].figure.mean > 0.3
    assert without[0].figure.mean == 0
    assert limited[0].differs_from == ["video.limiter"]
    assert rig.overlay() is None
    write_files(run, find(run), "the text")
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
    assert find(run).rows()[0][-1] == "0"


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
