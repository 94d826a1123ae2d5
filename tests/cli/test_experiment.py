"""``squall experiment`` without a lab: what it lists, checks, prints again and refuses."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from chaos.experiment.find import RESULTS
from chaos.experiment.loading import experiment_files, load_experiment
from chaos.experiment.record import RECORD_FILE, write_record
from chaos.experiment.results import ExperimentRun
from squall.commands import experiment as command
from tests.chaos.experiment.build import SMALL, ran
from tests.cli.conftest import Squall

pytestmark = pytest.mark.unit

FIGURES: dict[tuple[int, int], tuple[float, ...]] = {
    (cell, repeat): (0.5, 200.0 + repeat) for repeat in (1, 2) for cell in range(4)
}


class Folder:
    """An experiment's file and its results, in a folder of the test's own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "small.yaml"
        self.file.write_text(yaml.safe_dump(SMALL, sort_keys=False))

    def keep(self, runs: int = 8, doubts: tuple[str, ...] = ()) -> ExperimentRun:
        """Keep a result of which so many runs were made, the last two twice when in doubt."""
        run = ran(load_experiment(self.file), dict(list(FIGURES.items())[:runs]))
        for one in list(run.runs)[-3:] if doubts else ():
            index = run.runs.index(one)
            run.runs[index] = type(one)(one.index, one.repeat, one.seed, one.observed, doubts)
            run.runs.append(run.runs[index])
        run.folder = self.root / RESULTS / "small" / "20261122T100000Z"
        run.folder.mkdir(parents=True)
        write_record(run)
        return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Let results lie in the test's own folder."""
    monkeypatch.setattr("chaos.experiment.find.find_result.__defaults__", (tmp_path,))
    monkeypatch.setattr("chaos.experiment.find.all_results.__defaults__", (tmp_path, "*"))
    monkeypatch.setattr("chaos.experiment.resume.find_interrupted.__defaults__", (tmp_path,))
    return Folder(tmp_path)


def test_list_names_every_experiment_with_its_cells_and_time(squall: Squall) -> None:
    """The table and the object hold the same; each comes from its file."""
    done = squall("experiment", "list", "--json")
    assert (done.code, done.json["schema"]) == (0, "squall.experiment-list/1")
    found = {one["experiment"]: one for one in done.json["experiments"]}
    assert sorted(found) == [path.stem for path in experiment_files()]
    assert found["limiter-sweep"]["cells"] == 18
    assert found["limiter-sweep"]["varies"] == "video.limiter, load.rate"
    text = squall("experiment", "list").out
    assert text.startswith("experiment")
    assert all(name in text for name in found)


def test_check_shows_the_cells_and_the_time(squall: Squall, folder: Folder) -> None:
    """Four combinations; with an override, two."""
    done = squall("experiment", "check", str(folder.file))
    assert done.code == 0
    assert done.out.splitlines()[0].split() == ["video.limiter", "load.rate"]
    assert "small: 4 cells, 2 times each" in done.out
    narrow = ("--set", "vary.load.rate=[10]", "--json")
    found = squall("experiment", "check", str(folder.file), *narrow).json
    assert (found["valid"], found["cells"]) == (True, 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vary": {}}, ":3:1: nothing is varied"),
        ({"vary": {"video.limiter": ["bbrr"]}}, ":4:3: limiter cannot be bbrr; it can be on"),
        ({"repeat": 0}, "repeat is 0; it must be 1 or more"),
        ({"measures": ["p99_ms"]}, "unknown key measures; did you mean measure"),
        ({"measure": ["p98_ms"]}, "unknown measure p98_ms; did you mean p99_ms"),
    ],
)
def test_check_names_a_mistake_with_its_place(
    squall: Squall, folder: Folder, change: dict[str, object], said: str
) -> None:
    """One sentence, exit code 2, no traceback; as JSON too."""
    folder.file.write_text(yaml.safe_dump({**SMALL, **change}, sort_keys=False))
    done = squall("experiment", "check", str(folder.file), "--json")
    assert (done.code, done.json["schema"]) == (2, "squall.error/1")
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("limiter-sweeps", "unknown experiment limiter-sweeps: did you mean limiter-sweep"),
        ("nowhere.yaml", "there is no file nowhere.yaml"),
    ],
)
def test_an_unknown_experiment_is_a_usage_error(
    squall: Squall, no_lab: None, verb: str, name: str, said: str
) -> None:
    """It names the nearest."""
    done = squall("experiment", verb, name)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"vary: [", "expected the node content"),
        (b"\xff\xfeno text", "is no text in UTF-8"),
        (b"- a list", "the file must be a mapping"),
        (b"", "the file must be a mapping"),
    ],
)
def test_a_file_that_is_no_yaml_is_a_usage_error(
    squall: Squall, folder: Folder, content: bytes, said: str
) -> None:
    """Whatever it is, nobody reads a traceback for it."""
    folder.file.write_bytes(content)
    done = squall("experiment", "check", str(folder.file))
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("repeat", "write it as path=value"),
        ("vary.load.rate", "write it as vary.KEY=[value, value]"),
        ("vary.load.rate=[10", "--set: [10 is no value: "),
        ("repeat=[", "--set: [ is no value: "),
        ("fix.lode=1", "unknown key lode; did you mean load"),
        ("vary.load.rate=[0]", "the rate must be more than 0"),
    ],
)
def test_a_wrong_override_is_a_usage_error(
    squall: Squall, folder: Folder, override: str, said: str
) -> None:
    """It is named as it was given."""
    done = squall("experiment", "check", str(folder.file), "--set", override)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_run_needs_a_lab(squall: Squall, folder: Folder, no_lab: None) -> None:
    """It says first what it would do; nothing is kept."""
    done = squall("experiment", "run", str(folder.file), "--quick")
    assert (done.code, done.out) == (3, "")
    assert "small: 4 cells, 1 times each" in done.err
    assert "the lab is not running" in done.err
    assert not (folder.root / "runs").exists()


def test_show_prints_what_the_run_printed(squall: Squall, folder: Folder) -> None:
    """The table, the answer, the page; and the same object as JSON."""
    kept = folder.keep()
    done = squall("experiment", "show", "small")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("video.limiter  load.rate  goodput_of_capacity")
    assert "load.rate 10: goodput_of_capacity off 0.5" in done.out
    assert done.out.endswith(f"page {kept.folder}/experiment.html\n")
    found = squall("experiment", "show", "small/20261122T100000Z", "--json").json
    assert (found["schema"], found["interrupted"]) == (command.SCHEMA, False)
    assert [one["measures"]["p99_ms"]["values"] for one in found["cells"]] == [[201, 202]] * 4


def test_show_ends_as_the_run_did(squall: Squall, folder: Folder) -> None:
    """3 of 8 runs in doubt, twice each, are more than a quarter: 4."""
    folder.keep(doubts=("the generator sent 90 ms late",))
    done = squall("experiment", "show", "small", "--json")
    assert (done.code, done.json["unsound_share"]) == (command.INCONCLUSIVE, 0.375)


def test_show_says_of_an_interrupted_run_how_far_it_came(squall: Squall, folder: Folder) -> None:
    """What there is is printed; the exit code is that of an interruption."""
    folder.keep(runs=3)
    done = squall("experiment", "show", "small", "--json")
    assert (done.code, done.json["interrupted"]) == (command.INTERRUPTED, True)
    assert done.err == "interrupted: 3 of 8 runs were made\n"


def test_show_refuses_what_is_no_result(squall: Squall, folder: Folder) -> None:
    """Unknown, half-written, of another version: which file, what to do, exit code 2."""
    unknown = squall("experiment", "show", "small")
    assert (unknown.code, unknown.out) == (2, "")
    assert "there is no result small: no experiment has been run here yet" in unknown.err
    path = folder.keep().folder / RECORD_FILE
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    half = squall("experiment", "show", "small", "--json")
    assert (half.code, half.json["exit_code"]) == (2, 2)
    assert f"{path} is damaged" in half.err
    path.write_text(json.dumps(json.loads(whole) | {"schema": "squall.experiment-record/9"}))
    newer = squall("experiment", "show", "small")
    assert (newer.code, newer.out) == (2, "")
    assert f"{path} is squall.experiment-record/9; this version reads" in newer.err


def test_resume_refuses_what_it_cannot_go_on_with(
    squall: Squall, folder: Folder, no_lab: None
) -> None:
    """No result, a changed file, options that would change it; without a lab it is 3."""
    resume = ("experiment", "run", str(folder.file), "--resume")
    assert "no experiment has been run here yet" in squall(*resume).err
    folder.keep(runs=3)
    for option in (("--quick",), ("--set", "repeat=3")):
        done = squall(*resume, *option)
        assert done.code == 2
        assert "leave out --set and --quick" in done.err
    absent = squall(*resume)
    assert absent.code == 3
    assert "small/20261122T100000Z: 3 of 8 runs are kept" in absent.err
    folder.file.write_text(yaml.safe_dump({**SMALL, "repeat": 5}, sort_keys=False))
    changed = squall(*resume)
    assert (changed.code, changed.out) == (2, "")
    assert "has changed since 20261122T100000Z began: repeat was 2 and is 5" in changed.err


def test_resume_refuses_a_complete_run(squall: Squall, folder: Folder, no_lab: None) -> None:
    """And says how to print it."""
    folder.keep()
    done = squall("experiment", "run", str(folder.file), "--resume")
    assert done.code == 2
    assert "complete, nothing is left to run" in done.err


def test_resume_prints_the_whole_and_ends_well(
    squall: Squall, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs that were kept and those that were missing are one table."""
    folder.keep(runs=3)

    def make_the_rest(_: object, run: ExperimentRun, tell: object) -> None:
        run.runs = list(ran(run.experiment, FIGURES).runs)

    monkeypatch.setattr("chaos.lab.find_lab", SimpleNamespace)
    monkeypatch.setattr("chaos.experiment.run.resume_experiment", make_the_rest)
    done = squall("experiment", "run", str(folder.file), "--resume", "--json")
    assert (done.code, done.json["interrupted"]) == (0, False)
    assert [len(one["measures"]["p99_ms"]["values"]) for one in done.json["cells"]] == [2] * 4


def test_an_interrupted_run_says_how_to_go_on(
    squall: Squall, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command to type, quoted as a shell wants it."""
    kept = folder.keep(runs=3)
    monkeypatch.setattr("chaos.lab.find_lab", SimpleNamespace)
    monkeypatch.setattr("chaos.experiment.run.run_experiment", lambda *_, **__: kept)
    done = squall("experiment", "run", str(folder.file))
    assert done.code == command.INTERRUPTED
    said = f"interrupted; go on with: squall experiment run {folder.file} --resume\n"
    assert done.err.endswith(said)
    assert (kept.folder / "experiment.html").exists()
