"""Runs by name."""

from pathlib import Path

import pytest

from chaos.report.find import find_run
from kit.errors import ConfigError
from tests.chaos.report.build import write_run

pytestmark = pytest.mark.unit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A lab with two runs of one drill, one of another, and ``latest``."""
    write_run(tmp_path / "runs" / "tiny" / "20260101T000000Z")
    newest = write_run(tmp_path / "runs" / "tiny" / "20260102T000000Z")
    write_run(tmp_path / "runs" / "other" / "20260101T120000Z")
    (tmp_path / "runs" / "tiny" / "20260103T000000Z").mkdir()  # began, and wrote nothing
    (newest.parent / "latest").symlink_to(newest.name, target_is_directory=True)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (None, "tiny/20260102T000000Z"),
        ("tiny", "tiny/20260102T000000Z"),
        ("tiny/latest", "tiny/20260102T000000Z"),
        ("tiny/20260101T000000Z", "tiny/20260101T000000Z"),
        ("runs/tiny/20260101T000000Z", "tiny/20260101T000000Z"),
        ("20260101T120000Z", "other/20260101T120000Z"),
    ],
)
def test_a_run_is_found_by(root: Path, name: str | None, found: str) -> None:
    """Drill, drill and stamp, stamp; the newest by default."""
    assert find_run(name, root) == root / "runs" / found


def test_a_folder_is_a_name_too(root: Path) -> None:
    """From anywhere, ``latest`` resolved."""
    folder = root / "runs" / "tiny" / "latest"

    assert find_run(str(folder), Path("/")) == root / "runs" / "tiny" / "20260102T000000Z"


def test_an_unknown_one_names_the_nearest(root: Path) -> None:
    """A drill for a drill, a run for a run."""
    with pytest.raises(ConfigError, match="did you mean tiny"):
        find_run("tyny", root)
    with pytest.raises(ConfigError, match="tiny/20260101T000000Z"):
        find_run("tiny/20260101T000001Z", root)


def test_no_run_at_all_says_how_to_make_one(tmp_path: Path) -> None:
    """A fresh clone."""
    with pytest.raises(ConfigError, match="squall drill run"):
        find_run(None, tmp_path)
