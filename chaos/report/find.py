"""Runs by name: ``overload`` is its newest, ``overload/20261122T152216Z`` one of them."""

from collections.abc import Sequence
from pathlib import Path

from chaos.drill.catalogue import ROOT
from chaos.drill.report import RUNS
from kit.errors import ConfigError
from kit.nearest import nearest

RUN_FILES = ("verdict.json", "requests.csv", "main/requests.csv")


def find_run(name: str | None, root: Path = ROOT) -> Path:
    """Return a run's folder.

    Args:
        name: A folder, ``<drill>``, ``<drill>/<stamp>`` or ``<stamp>``; None is the newest of all.
        root: Where ``runs`` lies.

    Raises:
        ConfigError: There is none such; names the nearest.
    """
    runs = all_runs(root)
    if name is None:
        if not runs:
            raise ConfigError("no run yet: squall drill run overload makes one")
        return max(runs, key=lambda folder: folder.name)
    if is_run(Path(name)):
        return Path(name).resolve()
    drill, _, stamp = name.rstrip("/").removeprefix(f"{RUNS}/").partition("/")
    if stamp in ("", "latest"):
        found = [folder for folder in runs if drill in (folder.parent.name, folder.name)]
    else:
        found = [folder for folder in runs if (folder.parent.name, folder.name) == (drill, stamp)]
    if not found:
        known = {folder.parent.name for folder in runs}
        known |= {f"{folder.parent.name}/{folder.name}" for folder in runs if stamp}
        raise ConfigError(f"there is no run {name}: {nearest(name, known)}")
    return max(found, key=lambda folder: folder.name)


def all_runs(root: Path = ROOT) -> Sequence[Path]:
    """Return the folders of all runs, ``latest`` and what is empty left out."""
    folders = sorted((root / RUNS).glob("*/*"))
    return [folder for folder in folders if not folder.is_symlink() and is_run(folder)]


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run."""
    return any((folder / name).is_file() for name in RUN_FILES)
