"""Who holds a daemon's pid file, asked of its lock: a file outlives a kill -9, a lock doesn't."""

import fcntl
from pathlib import Path

KEEPER_PID_FILE = "keeper.pid"  # here, where the keeper reads it without importing anything big


def holder_of(path: Path) -> int | None:
    """Return the process id of the daemon that holds a pid file locked; None when none lives."""
    try:
        with path.open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(file.read() or 0) or None
            return None
    except FileNotFoundError:
        return None
