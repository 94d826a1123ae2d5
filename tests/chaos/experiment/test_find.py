"""Results by name, and which of them may be gone on with."""

from pathlib import Path

import pytest
import yaml

from chaos.experiment.find import RESULTS, all_results, find_result
from chaos.experiment.loading import load_experiment
from chaos.experiment.record import write_record
from chaos.experiment.results import ExperimentRun
from chaos.experiment.resume import find_interrupted
from chaos.experiment.run import quicker
from kit.errors import ConfigError
from tests.chaos.experiment.build import SMALL, ran

pytestmark = pytest.mark.unit

ALL: dict[tuple[int, int], tuple[float, ...]] = {
    (cell, repeat): (0.5, 200.0) for repeat in (1, 2) for cell in range(4)
}
OLD, NEW = "20261122T100000Z", "20261122T110000Z"


class Shelf:
    """An experiment's file, and results of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "small.yaml"
        self.write()

    def write(self, text: str = "", **more: object) -> None:
        self.file.write_text(text + yaml.safe_dump({**SMALL, **more}, sort_keys=False))

    def keep(self, stamp: str, runs: int, *overrides: str, quick: bool = False) -> ExperimentRun:
        """Keep a result of which so many runs were made."""
        of = load_experiment(self.file, overrides)
        of = quicker(of) if quick else of
        run = ran(of, dict(list(ALL.items())[:runs]))
        run.folder = self.root / RESULTS / "small" / stamp
        run.folder.mkdir(parents=True)
        run.overrides, run.is_quick = overrides, quick
        write_record(run)
        return run


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """Return an empty one."""
    return Shelf(tmp_path)


def test_a_name_is_the_newest_and_a_stamp_one_of_them(shelf: Shelf) -> None:
    """Also as it is printed, as a folder, and with `latest`."""
    old, new = (shelf.keep(stamp, 8).folder for stamp in (OLD, NEW))
    (new.parent / "latest").symlink_to(NEW)
    assert all_results(shelf.root) == [old, new]
    for name in ("small", "small/", "small/latest", f"small/{NEW}", f"{RESULTS}/small", str(new)):
        assert find_result(name, shelf.root) == new, name
    assert find_result(f"small/{OLD}", shelf.root) == old


def test_an_unknown_result_names_the_nearest(shelf: Shelf) -> None:
    """Of experiments, or of one experiment's stamps; and none at all is said so."""
    with pytest.raises(ConfigError, match="no result small: no experiment has been run here yet"):
        find_result("small", shelf.root)
    shelf.keep(OLD, 8)
    (shelf.root / RESULTS / "empty" / OLD).mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"there is no result smalls: .*small"):
        find_result("smalls", shelf.root)
    with pytest.raises(ConfigError, match=f"no result small/2026: .*small/{OLD}"):
        find_result("small/2026", shelf.root)
    with pytest.raises(ConfigError, match="there is no result empty"):
        find_result("empty", shelf.root)
    with pytest.raises(ConfigError, match="there is no result "):
        find_result("", shelf.root)


def test_an_interrupted_run_is_found_with_what_it_began_with(shelf: Shelf) -> None:
    """Its overrides and its shortness are its record's; a comment in the file is no change."""
    shelf.keep(OLD, 8)
    begun = shelf.keep(NEW, 3, "fix.load={seconds: 5}", "vary.load.rate=[10, 30]", quick=True)
    shelf.write("# which one, then?\n")
    found = find_interrupted(str(shelf.file), shelf.root)
    assert found == begun
    assert len(found.runs) == 3


def test_a_changed_file_is_refused_with_what_changed(shelf: Shelf) -> None:
    """Both values of everything that differs."""
    shelf.keep(NEW, 3)
    shelf.write(repeat=4, seed=18)
    with pytest.raises(ConfigError, match=f"small.yaml has changed since {NEW} began: ") as refused:
        find_interrupted(str(shelf.file), shelf.root)
    assert "repeat was 2 and is 4; seed was 17 and is 18. Put it back" in str(refused.value)


def test_a_complete_run_has_nothing_left(shelf: Shelf) -> None:
    """It is said how to print it."""
    shelf.keep(NEW, 8)
    with pytest.raises(ConfigError, match=r"complete, nothing is left.*experiment show small"):
        find_interrupted(str(shelf.file), shelf.root)
