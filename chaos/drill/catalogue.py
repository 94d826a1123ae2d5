"""Where drills are found: the files in ``drills/``, by name."""

from collections.abc import Sequence
from pathlib import Path

from kit.errors import ConfigError
from kit.nearest import nearest

ROOT = Path(__file__).resolve().parents[2]
DRILLS = ROOT / "drills"


def drill_files(folder: Path = DRILLS) -> Sequence[Path]:
    """Return all drill files, by name."""
    return sorted(folder.glob("*.yaml"))


def find_drill(name: str, folder: Path = DRILLS) -> Path:
    """Return the file of a drill; a path to a file is one too.

    Raises:
        ConfigError: Unknown; names the nearest.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if path.is_file():
            return path
        raise ConfigError(f"there is no file {name}")
    path = folder / f"{name}.yaml"
    if path.is_file():
        return path
    known = [file.stem for file in drill_files(folder)]
    raise ConfigError(f"unknown drill {name}: {nearest(name, known)}")
