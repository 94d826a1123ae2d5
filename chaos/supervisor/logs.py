"""Log files of the lab's processes: one each, bounded in size.

Why: a lab left running for a week must not fill the disk; Docker's json-file driver has the same
limits in the compose file (5 MB, two files).
Source: logrotate's copytruncate: the process keeps its descriptor (opened for appending), so
nothing of it flows through the supervisor.
Not handled: lines written between the copy and the truncation are lost, as with logrotate.
"""

import os
import shutil
from pathlib import Path

LIMIT_BYTES = 5_000_000  # docker-compose.yml, logging.options.max-size: 5m
TAIL_BYTES = 64_000


def open_log(path: Path) -> int:
    """Open a log for appending and return its descriptor; the caller closes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def rotate(path: Path, limit_bytes: int = LIMIT_BYTES) -> bool:
    """Move a log that is too long to ``NAME.1``; returns whether it did."""
    try:
        if path.stat().st_size <= limit_bytes:
            return False
    except FileNotFoundError:
        return False
    shutil.copyfile(path, path.with_name(path.name + ".1"))
    os.truncate(path, 0)
    return True


def tail(path: Path, lines: int) -> list[str]:
    """Return the last lines of a log, none when there is no log; looks at the last 64 kB."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-lines:]
