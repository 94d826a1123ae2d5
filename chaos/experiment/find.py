"""Results by name: ``limiter-sweep`` is its newest, ``limiter-sweep/20261122T152216Z`` is one."""

from collections.abc import Sequence
from pathlib import Path

from chaos.drill.report import RUNS
from chaos.experiment.loading import ROOT
from chaos.experiment.record import RECORD_FILE
from kit.errors import ConfigError
from kit.nearest import nearest

RESULTS = f"{RUNS}/experiments"
LATEST = "latest"


def find_result(name: str, root: Path = ROOT) -> Path:
    """Return the folder of a result.

    Args:
        name: A folder, ``<experiment>`` or ``<experiment>/<stamp>``.
        root: Where ``runs`` lies.

    Raises:
        ConfigError: There is none such; names the nearest.
    """
    if is_result(Path(name)):
        return Path(name).resolve()
    results = all_results(root)
    experiment, _, stamp = name.strip("/").removeprefix(f"{RESULTS}/").partition("/")
    newest = stamp in ("", LATEST)
    found = [
        folder
        for folder in results
        if folder.parent.name == experiment and (newest or folder.name == stamp)
    ]
    if found:
        return found[-1]
    if not results:
        raise ConfigError(f"there is no result {name}: no experiment has been run here yet")
    known = {folder.parent.name for folder in results}
    if stamp and experiment in known:
        known = {f"{experiment}/{folder.name}" for folder in all_results(root, experiment)}
    raise ConfigError(f"there is no result {name}: {nearest(name, sorted(known))}")


def all_results(root: Path = ROOT, experiment: str = "*") -> Sequence[Path]:
    """Return the folders of all results, the oldest of each experiment first."""
    folders = sorted((root / RESULTS).glob(f"{experiment}/*"))
    return [folder for folder in folders if not folder.is_symlink() and is_result(folder)]


def is_result(folder: Path) -> bool:
    """Whether a folder holds a result's record."""
    return (folder / RECORD_FILE).is_file()
