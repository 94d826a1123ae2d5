"""A run's folder, whole and in pieces."""

import json
from pathlib import Path

import pytest

from chaos.drill.records import Window
from chaos.report.run import read_run
from kit.errors import ConfigError
from tests.chaos.report.build import row, write_arm, write_run

pytestmark = pytest.mark.unit


def test_a_whole_run_has_both_arms_and_its_drill(tmp_path: Path) -> None:
    """Phases come from load.json; a fault that is load lasts its whole phase."""
    run = read_run(write_run(tmp_path / "tiny" / "20260101T000000Z"))

    assert run.label == "tiny/20260101T000000Z"
    assert list(run.arms) == ["main", "control"]
    assert run.drill is not None
    assert run.arms["main"].seconds == 10.0
    assert run.arms["main"].bands == [(Window(3.0, 7.0), "load of the fault phase")]


def test_overrides_of_the_replay_line_change_the_drill(tmp_path: Path) -> None:
    """``--set`` isn't in the file, and it is in the replay line."""
    replay = "squall drill run tiny --seed 17 --set 'capacity.rps=40'"
    run = read_run(write_run(tmp_path / "run", replay=replay))

    assert run.drill is not None
    assert run.drill.capacity is not None
    assert run.drill.capacity.rps == 40


def test_a_fault_with_times_of_its_own_is_the_band(tmp_path: Path) -> None:
    """Two seconds from one second into the fault phase on."""
    folder = write_run(tmp_path / "run")
    text = (folder / "drill.yaml").read_text()
    fault = "{at: 1, for: 2, kind: latency, on: video, ms: 500}"
    (folder / "drill.yaml").write_text(f"{text}faults: [{fault}]\n")

    run = read_run(folder)

    assert run.drill is not None
    assert run.arms["control"].bands == [(Window(4.0, 6.0), "latency (ms 500) on video")]


def test_a_verdict_says_when_its_faults_really_acted(tmp_path: Path) -> None:
    """Where a fault began late, and on whom a shard's role fell, the verdict alone knows."""
    row = {
        "id": "tiny-1", "kind": "pause", "target": "store-4", "words": "pause on store-4",
        "from_s": 3.25, "to_s": 6.5, "proof": {"hits": 1, "instances": ["store-4.1"]},
    }  # fmt: skip

    run = read_run(write_run(tmp_path / "run", faults=[row]))

    assert run.arms["main"].bands == [(Window(3.25, 6.5), "pause on store-4")]


def test_a_drill_file_no_longer_understood_is_left_out(tmp_path: Path) -> None:
    """Old folders stay readable."""
    folder = write_run(tmp_path / "run")
    (folder / "drill.yaml").write_text("drill: tiny\nnew_key: 1\n")

    assert read_run(folder).drill is None


def test_an_interrupted_arm_is_read_as_far_as_it_went(tmp_path: Path) -> None:
    """Its plan says the phases."""
    write_arm(tmp_path / "main", [row(0, 0.5)], has_ended=False)

    run = read_run(tmp_path)

    assert run.arms["main"].seconds == 10.0
    assert run.verdict == {}


def test_a_load_on_its_own_is_one_arm(tmp_path: Path) -> None:
    """Its files lie in the folder itself."""
    write_arm(tmp_path / "load" / "20260101T000000Z", [row(0, 0.5)])

    run = read_run(tmp_path / "load" / "20260101T000000Z")

    assert (run.name, list(run.arms)) == ("load", ["main"])


def test_a_folder_that_holds_no_run_is_refused(tmp_path: Path) -> None:
    """A sentence, not an empty page."""
    with pytest.raises(ConfigError, match="holds no run"):
        read_run(tmp_path)


def test_half_a_file_counts_as_none(tmp_path: Path) -> None:
    """A verdict that was cut off in writing."""
    folder = write_run(tmp_path / "run")
    (folder / "verdict.json").write_text(json.dumps({"drill": "tiny"})[:-3])

    assert read_run(folder).verdict == {}
