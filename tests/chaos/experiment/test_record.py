"""The record of a run: whole, versioned, and enough to go on from."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.drill.observation import NOTHING_SEEN, Observation
from chaos.experiment.findings import as_json, find
from chaos.experiment.record import RECORD_FILE, changes, read_record, write_record
from chaos.experiment.results import CellRun, ExperimentRun
from kit.errors import ConfigError
from tests.chaos.experiment.build import experiment, ran

pytestmark = pytest.mark.unit

FIGURES: dict[tuple[int, int], tuple[float, ...]] = {(0, 1): (0.5, 200.0), (1, 1): (0.1, 990.0)}
RICH: dict[str, Any] = {
    "measure": ["p99_ms", {"metric": "share_within", "within_ms": 300, "route": "buyer"}],
    "fix": {
        "policies": {"deadline": "on", "breaker": {"gateway": "shadow"}},
        "set": {"stations": {"video": {"workers": 2, "mean_ms": 100}}, "drains": ["video.3"]},
        "load": {
            "mix": {"buyer": 1},
            "classes": {"buyer": {"route": "list", "criticality": "critical"}},
        },
    },
}


def kept(folder: Path) -> ExperimentRun:
    """Return a run whose record lies in a folder."""
    run = ran(experiment(), FIGURES)
    run.folder = folder
    write_record(run)
    return run


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    """Also what was in doubt, what saw nothing, and an experiment with every kind of value."""
    run = ExperimentRun(experiment(**RICH), "containers", tmp_path, ("repeat=2",), is_quick=True)
    run.runs = [
        CellRun(0, 1, 17, (Observation(1 / 3, 0.1, 9), NOTHING_SEEN)),
        CellRun(1, 1, 17, (), ("the generator sent 90 ms late",)),
    ]
    write_record(run)
    found = read_record(tmp_path)
    assert changes(found.experiment, run.experiment) == []
    assert found == run
    assert as_json(found, find(found)) == as_json(run, find(run))
    assert [path.name for path in tmp_path.iterdir()] == [RECORD_FILE]


@pytest.mark.parametrize("length", [0, 1, 40, 700])
def test_half_a_file_is_said_to_be_damaged(tmp_path: Path, length: int) -> None:
    """Which file, and what to do; never half a table."""
    kept(tmp_path)
    path = tmp_path / RECORD_FILE
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ConfigError, match=r"record\.json is damaged \(it is no JSON.*run the exp"):
        read_record(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "squall.experiment-record/2"}, r"is squall\.experiment-record/2; this version"),
        ({"schema": None}, "is of no schema; this version reads squall.experiment-record/1"),
        ({"mode": 7}, r"is damaged \(Expected `str`, got `int` - at `\$.mode`\)"),
        ({"colour": "red"}, "unknown field `colour`"),
        ({"runs": [{"index": 4, "repeat": 1, "seed": 1, "observed": []}]}, "run 1 is of cell 4"),
        ({"runs": [{"index": 0, "repeat": 3, "seed": 1, "observed": []}]}, "repeat 3, which there"),
        ({"runs": [{"index": 0, "repeat": 1, "seed": 1, "observed": []}]}, "run 1 has 0 figures"),
        ({"experiment": {"experiment": "x", "question": "", "vary": {}, "measure": []}}, "nothing"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    """Another version, another type, a cell that the experiment hasn't."""
    kept(tmp_path)
    path = tmp_path / RECORD_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match=said):
        read_record(tmp_path)


def test_what_is_no_object_or_no_file_is_refused(tmp_path: Path) -> None:
    """A list, bytes that are no text, no file at all."""
    with pytest.raises(ConfigError, match=r"can't read .*record\.json: No such file"):
        read_record(tmp_path)
    for content in (b"[1]", b"7"):
        (tmp_path / RECORD_FILE).write_bytes(content)
        with pytest.raises(ConfigError, match="is of no schema"):
            read_record(tmp_path)
    (tmp_path / RECORD_FILE).write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(ConfigError, match="is damaged"):
        read_record(tmp_path)


def test_a_record_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new one is moved into place only when it is whole."""
    run = kept(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_record(replace(run, runs=[]))
    assert len(read_record(tmp_path).runs) == 2


def test_changes_are_named_by_path_with_both_values() -> None:
    """What was, what is; what came and what went."""
    before = experiment(
        fix={"policies": {"deadline": "on"}, "capacity": {"of": "video", "rps": 20}}
    )
    now = experiment(
        repeat=3,
        vary={"video.limiter": ["off", "vegas"], "load.rate": [10, 40]},
        fix={"policies": {"static": "on"}, "capacity": {"of": "video", "rps": 20}},
    )
    assert changes(before, before) == []
    assert sorted(changes(before, now)) == [
        'fix.policies.deadline was "on" and is absent',
        'fix.policies.static was absent and is "on"',
        "repeat was 2 and is 3",
        'vary.video.limiter was ["off", "bbr"] and is ["off", "vegas"]',
    ]
